"""The table of a zoo: one row a network, from the plan and the metrics in the shards."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from zoo.digests import canonical_json
from zoo.hyperparameters import ARGUMENT, HYPERPARAMETERS
from zoo.plans import Plan, PlannedMember
from zoo.shards import Shard
from zoo.spec import ZooSpec
from zoo.splits import split_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

VARIED = ("width", "depth", "kernel")


def make_table(spec: ZooSpec, header: Mapping[str, Any], plan: Plan, shards: Mapping[int, Shard]) -> "pa.Table":
    """The rows of all networks whose shard is given, in the order of the plan.

    A row holds what re-creates its network (recipe, settings, seed, data, versions), where its weights lie (shard,
    place), and its metrics, one value a kept state. Equal zoos have equal tables: nothing in it tells of time.
    """
    import pyarrow as pa

    common = _common(spec, header)
    places = {m: (s.index, i) for s in plan.shards if s.index in shards for i, m in enumerate(s.members)}
    rows = [_row(plan.members[m], common, header, shards[s], s, i) for m, (s, i) in sorted(places.items())]
    return pa.Table.from_pylist(rows, _schema(rows, shards.values()))


def table_bytes(table: "pa.Table") -> bytes:
    """The table as an Arrow IPC file."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _common(spec: ZooSpec, header: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "train_epochs": spec.epochs,
        "train_steps": spec.steps,
        "batch_size": spec.batch_size,
        "epochs": list(spec.keep or ()),
        "data": canonical_json(spec.data),
        "data_name": header["data"]["name"],
        "data_fingerprint": header["data"]["fingerprint"],
        "versions": canonical_json(header["versions"]),
        "spec": header["spec"],
    }


def _row(
    member: PlannedMember, common: dict[str, Any], header: Mapping[str, Any], shard: Shard, index: int, place: int
) -> dict[str, Any]:
    if shard.facts["ids"][place] != member.id:
        raise ValueError(
            f"shard {index}: expected network {member.id} at place {place}, got {shard.facts['ids'][place]}; the file "
            "belongs to another zoo: delete it and run `zoo build` again"
        )
    row = {
        "id": member.id,
        # A tree of descendants lies in one split: a child is close to its parent.
        "split": split_of(member.root or member.id),
        "parent": member.parent,
        "root": member.root,
        "generation": member.generation,
        "architecture": member.architecture,
        "family": member.recipe["factory"],
        "recipe": canonical_json(member.full_recipe),
        "loss": member.loss,
        "trainer": header["trainers"][member.architecture]["name"],
        "status": shard.facts["status"][place],
        "label": int(shard.tensors["label"][place]) if "label" in shard.tensors else None,
        "shard": index,
        "place": place,
        **member.settings,
        **{name: member.varied.get(name) for name in VARIED},
        **{k: canonical_json(v) for k, v in member.varied.items() if k.startswith(ARGUMENT)},
        **common,
    }
    return row | {name: values[:, place].tolist() for name, values in shard.metrics.items()}


def _schema(rows: list[dict[str, Any]], shards: Iterable[Shard]) -> "pa.Schema":
    """Columns with their types, those of settings first; a column that no row fills keeps its type."""
    import pyarrow as pa

    types: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    texts = ("id", "split", "parent", "root", "architecture", "family", "recipe", "loss", "trainer", "status")
    columns: dict[str, pa.DataType] = {name: pa.string() for name in texts}
    columns |= {name: types[h.type] for name, h in HYPERPARAMETERS.items()}
    columns |= {
        name: pa.int64()
        for name in ("generation", "label", "shard", "place", "train_epochs", "train_steps", "batch_size")
    }
    columns |= {name: pa.string() for row in rows for name in sorted(row) if name.startswith(ARGUMENT)}
    columns |= {name: pa.string() for name in ("data", "data_name", "data_fingerprint", "versions", "spec")}
    columns["epochs"] = pa.list_(pa.int64())
    columns |= dict(sorted((name, _kept(v)) for shard in shards for name, v in shard.metrics.items()))
    return pa.schema(list(columns.items()))


def _kept(values: "np.ndarray") -> "pa.DataType":
    """The type of a metric: a number for each kept state, or a list of them, such as one a class."""
    import pyarrow as pa

    return pa.list_(pa.float64() if values.ndim == 2 else pa.list_(pa.float64()))
