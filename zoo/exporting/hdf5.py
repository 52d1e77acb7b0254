"""A zoo as one HDF5 file that another process can read while it is written."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.exporting.about import about_json
from zoo.exporting.rows import layout_json, parse_layout, state_table
from zoo.store import Zoo

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from zoo.exporting.targets import ExportJob

FILE = "zoo.h5"
# Networks between two flushes: what a reader beside the writer can fall behind.
FLUSH = 16


def write(job: "ExportJob") -> None:
    """Write ``zoo.h5``: a group for each architecture with E networks of T states.

    ``weights [E, T, P]`` in chunks ``(1, 1, P)``, ``other/NAME [E, T, ...]``, ``columns/NAME``: ``[E, T]`` for metrics,
    ``[E]`` for the rest, and ``written []``, the networks that are there so far; attribute ``layout``: see
    ``state_dict_of``. Everything but the weights is there from the start, so ``h5py.File("DEST.partial/zoo.h5", "r",
    swmr=True)`` reads them as they come: ``group["written"].refresh()``.
    """
    with _created(job.folder / FILE) as file:
        file.attrs["about"] = about_json(job.about).decode()
        parts = [job.zoo.filter(architecture=name) for name in job.about["parameters"]]
        groups = [_begin(file.create_group(part[0].architecture), part, job.states) for part in parts]
        # From here on only elements of what is there may be written.
        file.swmr_mode = True
        for group in groups:
            _fill(group, job)


@dataclass(frozen=True)
class _Group:
    """The data sets of one architecture that are still to be filled, held open: what the library cannot write out when
    it closes one is lost without an error."""

    zoo: Zoo
    weights: Any
    other: dict[str, Any]
    written: Any

    def acknowledge(self, written: int) -> None:
        """Let readers know of the first networks, whose weights are flushed before."""
        for dataset in (self.weights, *self.other.values()):
            dataset.flush()
        self.written[()] = written
        self.written.flush()


@contextmanager
def _created(path: Path) -> Iterator[Any]:
    """A new file; raises OSError when it cannot be written to the end."""
    import h5py

    file = h5py.File(path, "w", libver="latest")
    try:
        yield file
        file.flush()
    except RuntimeError as error:
        _let_go(file)
        raise OSError(f"{path} could not be written: {error}") from error
    except BaseException:
        _let_go(file)
        raise
    finally:
        file.close()


def _let_go(file: Any) -> None:
    """Let what the library still holds of a failed file go to memory: on a full disk, closing it ends the process."""
    memory = os.memfd_create(FILE)
    os.dup2(memory, file.id.get_vfd_handle())
    os.close(memory)


def _begin(group: Any, zoo: Zoo, states: str) -> _Group:
    """Everything of one architecture but its weights."""
    import numpy as np

    places = zoo.samples(states)
    networks, kept = len(zoo), len(places) // len(zoo)
    if len(places) != networks * kept or len({part.layout for part in zoo}) > 1:
        raise ValueError(
            f"expected networks of one architecture with equally many states each, but those of {group.name} differ; "
            "filter the zoo, export only the final states, or export to hf"
        )
    group.attrs["layout"] = layout_json(zoo[0])
    table, of_state = state_table(zoo, states), {"state", "epoch", *zoo[0].metrics}
    for name in table.column_names:
        values = _column(table[name].combine_chunks()).reshape(networks, kept)
        group.create_dataset(f"columns/{name}", data=values if name in of_state else values[:, 0]).flush()

    def empty(name: str, like: "Tensor", fill: float) -> Any:
        shape, dtype = (networks, kept, *like.shape), like.numpy().dtype
        return group.create_dataset(name, shape, dtype, chunks=(1, 1, *like.shape), fillvalue=fill)

    other = {name: empty(f"other/{name}", value, 0) for name, value in zoo[0].other().items()}
    weights = empty("weights", zoo[0].flat(), np.nan)
    return _Group(zoo, weights, other, group.create_dataset("written", data=0))


def _column(values: "pa.Array") -> Any:
    """A column as an array; a missing number is NaN, a missing text is empty."""
    import h5py
    import numpy as np
    import pyarrow as pa

    if pa.types.is_string(values.type):
        return np.array(values.fill_null("").to_pylist(), dtype=h5py.string_dtype())
    return values.to_numpy(zero_copy_only=False)


def _fill(group: _Group, job: "ExportJob") -> None:
    for place, member in enumerate(group.zoo):
        first = 0 if job.states == "all" else len(member.epochs) - 1
        group.weights[place] = member.trajectory()[first:].numpy()
        for name, values in group.other.items():
            values[place] = [member.other(state)[name].numpy() for state in range(first, len(member.epochs))]
        if (place + 1) % FLUSH == 0 or place + 1 == len(group.zoo):
            group.acknowledge(place + 1)
        job.bar.update(group.weights.shape[1])


def state_dict_of(group: Any, network: int, state: int = -1) -> dict[str, "Tensor"]:
    """The state_dict of one state of one network of an architecture's group, bit for bit.

    Raises ValueError when it is not written yet.
    """
    import torch

    if network >= (written := int(group["written"][()])):
        raise ValueError(f"expected a network below {written}, which are written so far, got {network}; refresh later")
    layout = parse_layout(json.loads(group.attrs["layout"]))
    state = range(group["weights"].shape[1])[state]
    other = {name: torch.as_tensor(values[network, state]) for name, values in group.get("other", {}).items()}
    return layout.unflatten(torch.from_numpy(group["weights"][network, state]), other)
