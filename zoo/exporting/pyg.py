"""A zoo as a PyG OnDiskDataset whose items are parameter graphs, kept as flat weights and made graphs when read."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load
from torch_geometric.data import HeteroData, OnDiskDataset

from graphs import ParameterGraph, Topology
from graphs.durable import write_durably
from zoo.batches import BucketBatches
from zoo.exporting.rows import other_bytes, state_table, weight_bytes
from zoo.member import Member
from zoo.targets import value_name

if TYPE_CHECKING:
    from zoo.exporting.targets import ExportJob

# Nothing here is an object, which PyG would pickle.
SCHEMA = {
    "weights": {"dtype": torch.uint8, "size": (-1,)},
    "dtype": str,
    "other": {"dtype": torch.uint8, "size": (-1,)},
    "topology": str,
    "row": str,
}
BUCKETS = "buckets.npy"


class ZooDataset(OnDiskDataset):
    """The states of an exported zoo as ``HeteroData`` (see ``graphs.pyg``) with ``y``, ``id`` and ``state``.

    Graphs of several topologies cannot stand in one PyG batch: give the loader ``batches()``, each of which is of one.

    Args:
        root: the exported folder.
        target: column of a row, or several, that ``y`` holds; ``test_class_accuracy/3`` is that on class 3.
        transform: of every item.

    Shapes: y ``[1]``, or ``[1, targets]`` for a list. Raises ValueError when the folder holds no such export.

    >>> import tempfile, zoo
    >>> from torch_geometric.loader import DataLoader
    >>> spec = zoo.ZooSpec(data={"source": "digits", "limit": 50}, recipes=("mlp",), members=2, epochs=1)
    >>> z = zoo.build(spec, tempfile.mkdtemp(), workers=0, progress=False)
    >>> data = ZooDataset(zoo.export(z, "pyg", tempfile.mkdtemp(), progress=False))
    >>> [batch.y.shape for batch in DataLoader(data, batch_sampler=data.batches(batch_size=2))]
    [torch.Size([2])]
    """

    def __init__(
        self,
        root: str | Path,
        target: str | Sequence[str] = "test_accuracy",
        transform: Callable[[HeteroData], HeteroData] | None = None,
    ) -> None:
        path = Path(root)
        # PyG would make an empty data set there.
        if not (path / "processed" / "sqlite.db").is_file():
            raise ValueError(f"expected a folder that `zoo export OUT --to pyg DEST` wrote, got {path}")
        self.target = target
        self._topologies: dict[str, Topology] = {}
        super().__init__(str(path), transform, schema=SCHEMA, log=False)

    def graph(self, index: int) -> ParameterGraph:
        """The parameter graph of one item; its ``state_dict()`` is bit for bit that of the trained module."""
        return self._graph(self.db.get(index))

    def row(self, index: int) -> dict[str, Any]:
        """What the zoo's table says of one item."""
        return json.loads(self.db.get(index)["row"])

    def deserialize(self, data: dict[str, Any]) -> HeteroData:
        row, made = json.loads(data["row"]), self._graph(data).to_data()
        made.id, made.state, made.y = row["id"], row["state"], self._target(row)
        return made

    def __getitems__(self, indices: list[int]) -> list[Any]:
        # PyG's own forgets here that a slice or a shuffled copy numbers its items anew.
        numbers = self.indices()
        return self.multi_get([numbers[index] for index in indices])

    @cached_property
    def buckets(self) -> np.ndarray:
        """A number for every exported state, equal where they share a topology."""
        return np.load(Path(self.root) / BUCKETS)

    def batches(
        self, batch_size: int = 32, shuffle: bool = True, seed: int = 0, drop_last: bool = False
    ) -> BucketBatches:
        """The ``batch_sampler`` of a DataLoader: batches of one topology each, in another order every epoch."""
        return BucketBatches(self.buckets[list(self.indices())], batch_size, shuffle, seed, drop_last)

    def _graph(self, data: dict[str, Any]) -> ParameterGraph:
        other = load(data["other"].numpy().tobytes()) if len(data["other"]) else {}
        # A copy: the bytes that the database gave cannot be written to.
        flat = data["weights"].clone().view(getattr(torch, data["dtype"]))
        return self._topology(data["topology"]).bind_flat(flat, other)

    def _topology(self, digest: str) -> Topology:
        if digest not in self._topologies:
            self._topologies[digest] = Topology.from_json((Path(self.root) / topology_file(digest)).read_text())
        return self._topologies[digest]

    def _target(self, row: dict[str, Any]) -> torch.Tensor:
        names = [self.target] if isinstance(self.target, str) else self.target
        values = torch.tensor([_number(row, name) for name in names])
        return values if isinstance(self.target, str) else values[None]


def _number(row: dict[str, Any], name: str) -> float:
    """The target of this name, such as lr or test_class_accuracy/3, of one item."""
    column, place = value_name(name, list(row))
    value = row.get(column)
    if place is not None:
        value = value[place] if isinstance(value, list) and place < len(value) else None
    if not isinstance(value, (int, float)):
        raise ValueError(f"target: expected a number, but {name!r} of {row['id']} is {value!r}")
    return float(value)


def topology_file(digest: str) -> str:
    """Where an export keeps a topology."""
    return f"topologies/{digest}.json"


def write(job: "ExportJob") -> None:
    """Write ``processed/sqlite.db``, ``topologies/`` and ``buckets.npy``; every network has to have a graph."""
    (job.folder / "topologies").mkdir()
    (job.folder / "processed").mkdir()
    (job.folder / "processed" / "sqlite.db").touch()
    dataset, numbers, buckets = ZooDataset(job.folder), dict[str, int](), list[int]()
    # The whole folder is flushed before it gets its name.
    dataset.db.connection.execute("PRAGMA synchronous = OFF")  # pyright: ignore[reportAttributeAccessIssue]
    try:
        for place in range(len(job.zoo)):
            items = _items(job, place, numbers)
            dataset.db.multi_insert(range(len(buckets), len(buckets) + len(items)), items)
            buckets += [numbers[item["topology"]] for item in items]
            job.bar.update(len(items))
    except sqlite3.Error as error:
        raise OSError(f"{job.folder}: the database could not be written: {error}") from error
    finally:
        dataset.close()
    np.save(job.folder / BUCKETS, np.array(buckets))


def _items(job: "ExportJob", place: int, numbers: dict[str, int]) -> list[dict[str, Any]]:
    """The states of one network; its topology is written where it is new."""
    member, one = job.zoo[place], job.zoo[place : place + 1]
    digest = _topology(member, job.folder, numbers)
    return [
        {
            "weights": _bytes(weight_bytes(member, row["state"])),
            "dtype": str(member.flat().dtype).removeprefix("torch."),
            "other": _bytes(other_bytes(member, row["state"])),
            "topology": digest,
            "row": json.dumps(row),
        }
        for row in state_table(one, job.states).to_pylist()
    ]


def _topology(member: Member, folder: Path, numbers: dict[str, int]) -> str:
    """The digest of a network's topology, which gets the next number and a file where it is new."""
    try:
        topology = member.topology
    except ValueError as error:
        raise ValueError(f"{error}; leave it out with a filter, such as --where architecture=...") from error
    if topology.digest not in numbers:
        numbers[topology.digest] = len(numbers)
        write_durably(folder / topology_file(topology.digest), topology.to_json().encode())
    return topology.digest


def _bytes(data: bytes) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(data, np.uint8).copy())
