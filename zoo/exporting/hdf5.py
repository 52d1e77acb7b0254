"""A zoo as one HDF5 file that another process can read while it is written."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.exporting.about import about_text
from zoo.exporting.rows import layout_json, parse_layout, state_table
from zoo.member import Member
from zoo.store import Zoo
from zoo.targets import list_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from zoo.exporting.targets import ExportJob

FILE = "zoo.h5"
# Networks between two flushes: what a reader beside the writer can fall behind.
FLUSH = 16


def write(job: "ExportJob") -> None:
    """Write ``zoo.h5``: a group for each architecture with E networks of T states.

    ``weights [E, T, P]`` in chunks ``(1, 1, P)``, ``other/NAME [E, T, ...]``, ``columns/NAME``: ``[E, T]`` for metrics
    (``[E, T, classes]`` for one of each class), ``[E]`` for the rest, and ``written []``, the networks that are there
    so far; attribute ``layout``: see ``state_dict_of``. Everything but the weights is there from the start, so
    ``h5py.File("DEST.partial/zoo.h5", "r", swmr=True)`` reads them as they come: ``group["written"].refresh()``.
    """
    with _created(job.folder / FILE) as file:
        file.attrs["about"] = about_text(job.about)
        groups = [_begin(file.create_group(name), part, job.states) for name, part in _parts(job).items()]
        # From here on only elements of what is there may be written.
        file.swmr_mode = True
        for group in groups:
            _fill(group, job)


def _parts(job: "ExportJob") -> dict[str, Zoo]:
    """The networks of each group: of one architecture, with equally many states; where those of an architecture differ
    in that, further groups have a number behind its name."""
    places: dict[str, dict[tuple[int, Any], list[int]]] = {}
    for place, member in enumerate(job.zoo):
        kept = len(member.epochs) if job.states == "all" else 1
        alike = places.setdefault(member.architecture, {})
        alike.setdefault((kept, member.layout), []).append(place)
    return {
        f"{name}-{number}" if number else name: Zoo(job.zoo.store, [job.zoo.numbers[place] for place in group])
        for name, alike in places.items()
        for number, group in enumerate(alike.values())
    }


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
    if not hasattr(os, "memfd_create"):  # of Linux alone
        return
    memory = os.memfd_create(FILE)
    os.dup2(memory, file.id.get_vfd_handle())
    os.close(memory)


def _begin(group: Any, zoo: Zoo, states: str) -> _Group:
    """Everything of one architecture but its weights."""
    import numpy as np

    networks = len(zoo)
    kept = len(zoo.samples(states)) // networks
    _check_dtype(zoo[0])
    group.attrs["layout"] = layout_json(zoo[0])
    table, of_state = state_table(zoo, states), {"state", "epoch", *zoo[0].metrics}
    for name in table.column_names:
        values = _column(table[name].combine_chunks())
        values = values.reshape(networks, kept, *values.shape[1:])
        group.create_dataset(f"columns/{name}", data=values if name in of_state else values[:, 0]).flush()

    def empty(name: str, like: "Tensor", fill: float) -> Any:
        shape, dtype = (networks, kept, *like.shape), like.numpy().dtype
        return group.create_dataset(name, shape, dtype, chunks=(1, 1, *like.shape), fillvalue=fill)

    other = {name: empty(f"other/{name}", value, 0) for name, value in zoo[0].other().items()}
    weights = empty("weights", zoo[0].flat(), np.nan)
    return _Group(zoo, weights, other, group.create_dataset("written", data=0))


def _check_dtype(member: Member) -> None:
    import torch

    if member.flat().dtype == torch.bfloat16:
        raise ValueError(
            f"HDF5 has no bfloat16, in which the weights of {member.id} are; export to hf, or filter it out"
        )


def _column(values: "pa.Array") -> Any:
    """A column as an array ``[S]``, one of lists ``[S, N]``; a missing number is NaN, a missing text is empty."""
    import h5py
    import numpy as np
    import pyarrow as pa

    if pa.types.is_string(values.type):
        return np.array(values.fill_null("").to_pylist(), dtype=h5py.string_dtype())
    if pa.types.is_list(values.type):
        return list_rows(values)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
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
