"""A kept state as one row of plain columns that tells all of it, its weights included."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.digests import canonical_json
from zoo.member import Member, make_module
from zoo.store import Zoo
from zoo.targets import state_column, state_places

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor, nn

    from graphs.layout import Layout

# What points into the zoo's own files.
INTERNAL = ("shard", "place", "epochs")
# What the exports call by these names an imported zoo may call something else by.
RESERVED = ("state", "epoch", "file", "network", "layout", "other", "weights")


def state_table(zoo: Zoo, states: str) -> "pa.Table":
    """A row a kept state, without its weights: id, state, epoch, then the columns of the zoo's table; one of a name in
    ``RESERVED`` is called ``source.NAME``. The column epoch counts updates in a zoo that was trained by steps."""
    import pyarrow as pa

    index, state = state_places(zoo, states)
    columns = {"id": state_column(zoo, "id", index, state), "state": pa.array(state)}
    columns["epoch"] = state_column(zoo, "epochs", index, state)
    for name in (name for name in zoo.store.table.column_names if name not in (*INTERNAL, "id")):
        columns[f"source.{name}" if name in RESERVED else name] = state_column(zoo, name, index, state)
    return pa.table(columns)


def weight_table(zoo: Zoo, states: str) -> "pa.Table":
    """The rows of ``state_table`` with layout, other and weights, which ``state_dict_of`` reads."""
    import pyarrow as pa

    members, places = list(zoo), zoo.samples(states)
    layouts = [layout_json(member) for member in members]
    table = state_table(zoo, states)
    table = table.append_column("layout", pa.array([layouts[i] for i, _ in places], pa.string()))
    other = [other_bytes(members[i], t) for i, t in places]
    table = table.append_column("other", pa.array(other, pa.large_binary()))
    weights = [weight_bytes(members[i], t) for i, t in places]
    return table.append_column("weights", pa.array(weights, pa.large_binary()))


def layout_json(member: Member) -> str:
    """Where each state_dict entry lies in the weights, and of which dtype these are."""
    entries = [{k: v for k, v in row.items() if v is not None} for row in member.layout.to_json()]
    return canonical_json({"dtype": str(member.flat().dtype).removeprefix("torch."), "entries": entries})


def parse_layout(layout: Mapping[str, Any]) -> "Layout":
    """The Layout in a parsed ``layout_json``."""
    from graphs.layout import Entry, Layout

    rows = [{"offset": None, **entry, "shape": tuple(entry["shape"])} for entry in layout["entries"]]
    return Layout(tuple(Entry(**row) for row in rows))


def weight_bytes(member: Member, state: int) -> bytes:
    """The weights of a state as they lie in memory."""
    import torch

    # As bytes, since numpy has not every dtype of torch.
    return member.flat(state).view(torch.uint8).numpy().tobytes()


def other_bytes(member: Member, state: int) -> bytes:
    """The integer entries of a state as safetensors; empty where there are none."""
    from safetensors.torch import save

    other = member.other(state)
    return save(other) if other else b""


def state_dict_of(row: Mapping[str, Any]) -> dict[str, "Tensor"]:
    """The state_dict of one row of an exported zoo, bit for bit as the trained module had it.

    Args:
        row: of ``datasets.load_dataset(...)``, streaming or not: a mapping with layout, other and weights.

    Raises ValueError when a column is missing or the weights are cut short.
    """
    import torch
    from safetensors.torch import load

    missing = [name for name in ("layout", "other", "weights") if name not in row]
    if missing:
        raise ValueError(f"expected the columns layout, other and weights, got no {', '.join(missing)}; keep them")
    layout = json.loads(row["layout"])
    dtype = getattr(torch, layout["dtype"])
    # A copy: the row's own bytes cannot be written to.
    data = bytearray(row["weights"])
    flat = torch.frombuffer(data, dtype=dtype) if data else torch.zeros(0, dtype=dtype)
    return parse_layout(layout).unflatten(flat, load(row["other"]) if row["other"] else {})


def module_of(row: Mapping[str, Any]) -> "nn.Module":
    """The network of one row of an exported zoo, in evaluation mode; see ``state_dict_of``."""
    return make_module(json.loads(row["recipe"]), state_dict_of(row))
