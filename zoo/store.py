"""A zoo on disk, opened for reading."""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from zoo.manifest import NAME, Manifest
from zoo.member import Member
from zoo.planning import plan
from zoo.shards import Shard
from zoo.spec import ZooSpec
from zoo.splits import FRACTIONS, check_fractions, split_of
from zoo.table import make_table
from zoo.targets import check_states
from zoo.topologies import read_topology

if TYPE_CHECKING:
    import pyarrow as pa
    from torch.utils.data import DataLoader

    from graphs import GraphBatch, Topology
    from zoo.loading import WeightBatch

OPEN_SHARDS = 256


class Store:
    """The files of one zoo; shards are mapped when first touched, and only so many stay open.

    Args:
        root: the folder of the zoo, complete or still being built.

    Raises ValueError when the folder holds no zoo.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        if not (self.root / NAME).is_file():
            raise ValueError(
                f"expected a zoo in {self.root}, but it has no {NAME}; give the folder that `zoo build SPEC OUT` filled"
            )
        self.manifest = Manifest.read(self.root)
        self._columns: dict[str, list[Any]] = {}
        self._shards: OrderedDict[int, Shard] = OrderedDict()
        self._recipes: dict[str, dict[str, Any]] = {}
        self._topologies: dict[str, Topology] = {}

    @property
    def imported(self) -> dict[str, Any] | None:
        """Format, source and size of what was imported; None for a zoo that was built."""
        return self.manifest.header.get("imported")

    @cached_property
    def spec(self) -> ZooSpec:
        if self.imported is not None:
            raise ValueError(f"{self.root} has no spec: it was imported ({self.imported['format']}), not built")
        try:
            return ZooSpec.from_yaml(self.root / "spec.yaml")
        except ValueError as error:
            raise ValueError(
                f"{error}; the file is damaged or lost: `zoo build` with the spec that {self.root} was begun with "
                "mends it"
            ) from error

    @cached_property
    def table(self) -> "pa.Table":
        """The rows of all networks that are safely there."""
        import pyarrow as pa

        record, path = self.manifest.files.get("table.arrow"), self.root / "table.arrow"
        # Opening is to be instant, so `zoo verify` alone reads the whole table for its checksum.
        if record is None or not path.is_file() or path.stat().st_size != record["bytes"]:
            if self.imported is not None:
                raise ValueError(
                    f"{path} is missing or damaged; import the zoo again: zoo import {self.imported['format']} SRC OUT"
                )
            shards = {index: self.shard(index) for index in self.manifest.shards}
            return make_table(self.spec, self.manifest.header, plan(self.spec, self.manifest.facts), shards)
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()

    def row(self, number: int) -> dict[str, Any]:
        """One row of the table."""
        return self.table.slice(number, 1).to_pylist()[0]

    def column(self, name: str) -> list[Any]:
        """One column of the table; raises ValueError that lists them when there is no such one."""
        if name not in self._columns:
            self._columns[name] = self.arrow_column(name).to_pylist()
        return self._columns[name]

    def arrow_column(self, name: str) -> "pa.ChunkedArray":
        """One column of the table, as it is mapped; raises ValueError that lists them when there is no such one."""
        if name not in self.table.column_names:
            raise ValueError(f"unknown column {name!r}; expected one of {', '.join(self.table.column_names)}")
        return self.table[name]

    def shard(self, index: int) -> Shard:
        """One shard, mapped."""
        if index in self._shards:
            self._shards.move_to_end(index)
            return self._shards[index]
        if index not in self.manifest.shards:
            raise ValueError(
                f"{self.root}: the manifest has no readable line for shard {index}; `zoo build` with the same spec "
                "trains it again"
            )
        self._shards[index] = Shard.open(self.root / self.manifest.shards[index]["file"])
        if len(self._shards) > OPEN_SHARDS:
            self._shards.popitem(last=False)
        return self._shards[index]

    def recipe(self, text: str) -> dict[str, Any]:
        """A recipe of the table, parsed."""
        if text not in self._recipes:
            self._recipes[text] = json.loads(text)
        return self._recipes[text]

    def topology(self, text: str) -> "Topology":
        """The topology of a recipe of the table."""
        if text not in self._topologies:
            self._topologies[text] = read_topology(self.root, self.recipe(text))
        return self._topologies[text]

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        # Another process maps the files itself.
        return Store, (self.root,)


class Zoo(Sequence[Member]):
    """The networks of a zoo, or some of them: ``filter`` and ``split`` give smaller zoos of the same files.

    >>> import tempfile, zoo
    >>> spec = zoo.ZooSpec({"source": "digits", "limit": 50}, ("mlp",), grid={"lr": [1e-3, 1e-2]}, repeats=2, epochs=1)
    >>> z = zoo.build(spec, tempfile.mkdtemp(), workers=0, progress=False)
    >>> len(z), len(z.filter(lr=1e-2)), z.filter(lr=1e-2)[0].row["lr"]
    (4, 2, 0.01)
    """

    def __init__(self, store: Store, numbers: Sequence[int]):
        self.store = store
        self.numbers = list(numbers)

    @property
    def root(self) -> Path:
        return self.store.root

    @property
    def spec(self) -> ZooSpec:
        return self.store.spec

    @cached_property
    def table(self) -> "pa.Table":
        """One row a network, in the order of this zoo."""
        import pyarrow as pa

        return self.store.table.take(pa.array(self.numbers, pa.int64()))

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Member: ...

    @overload
    def __getitem__(self, index: slice) -> "Zoo": ...

    def __getitem__(self, index: int | slice) -> "Member | Zoo":
        """A network, or a smaller zoo for a slice."""
        if isinstance(index, slice):
            return Zoo(self.store, self.numbers[index])
        return Member(self.store, self.numbers[index])

    def __iter__(self) -> Iterator[Member]:
        return (Member(self.store, number) for number in self.numbers)

    def find(self, member_id: str) -> Member:
        """The network with this id, or with an id that alone begins so."""
        found = [n for n, i in zip(self.numbers, self._column("id"), strict=True) if i.startswith(member_id)]
        if len(found) != 1:
            raise ValueError(
                f"expected the id of one network, got {member_id!r}, which {len(found)} of {len(self)} have; "
                "the column id of the table lists them"
            )
        return Member(self.store, found[0])

    def filter(self, predicate: Callable[[dict[str, Any]], bool] | None = None, **equal: Any) -> "Zoo":
        """The networks whose row satisfies ``predicate`` and whose columns equal the given values.

        A list, tuple or set stands for any of its values: ``z.filter(status="ok", activation=["relu", "gelu"])``.
        Raises ValueError for an unknown column.
        """
        keep = [True] * len(self)
        for name, wanted in equal.items():
            values = set(wanted) if isinstance(wanted, (list, tuple, set, frozenset)) else {wanted}
            keep = [k and value in values for k, value in zip(keep, self._column(name), strict=True)]
        if predicate is not None:
            keep = [k and predicate(row) for k, row in zip(keep, self.table.to_pylist(), strict=True)]
        return Zoo(self.store, [n for n, k in zip(self.numbers, keep, strict=True) if k])

    def split(self, name: str, fractions: Mapping[str, float] = FRACTIONS) -> "Zoo":
        """The networks of one split, by a hash of their ids: all states of a network, and all its descendants,
        together, the same in every zoo.

        Raises ValueError for an unknown split.
        """
        check_fractions(fractions)
        if name not in fractions:
            raise ValueError(f"expected one of the splits {', '.join(fractions)}, got {name!r}")
        roots = self._column("root") if "root" in self.store.table.column_names else [None] * len(self)
        places = zip(self.numbers, roots, self._column("id"), strict=True)
        return Zoo(self.store, [n for n, root, own in places if split_of(root or own, fractions) == name])

    def samples(self, states: str = "all") -> list[tuple[int, int]]:
        """(network, state) numbers of all kept states, or of the last one of each network."""
        check_states(states)
        counts = [len(epochs) for epochs in self._column("epochs")]
        return [(i, t) for i, n in enumerate(counts) for t in range(0 if states == "all" else n - 1, n)]

    def loader(self, batch_size: int = 32, **options: Any) -> "DataLoader[Any]":
        """Batches ``[B, P]`` of weights with their targets; ``zoo.loading.make_loader`` tells all options.

        >>> import tempfile, zoo
        >>> spec = zoo.ZooSpec(data={"source": "digits", "limit": 50}, recipes=("mlp",), members=3, epochs=1)
        >>> z = zoo.build(spec, tempfile.mkdtemp(), workers=0, progress=False)
        >>> [tuple(batch.weights.shape) for batch in z.loader(2, shuffle=True, seed=1, target="lr")]
        [(2, 3466), (1, 3466)]
        """
        from zoo.loading import make_loader

        return make_loader(self, batch_size, **options)

    def graphs(self, batch: "WeightBatch") -> "GraphBatch":
        """The graphs of a batch of this zoo's loader, over the batch's own memory.

        Raises ValueError where a network has no graph.
        """
        from graphs import collate

        places = zip(batch.index.tolist(), batch.state.tolist(), batch.weights, strict=True)
        return collate([self[index].bind(flat, state) for index, state, flat in places])

    def arrow_column(self, name: str) -> "pa.Array":
        """One column of this zoo's rows, without a Python object for each; raises ValueError for an unknown one."""
        import pyarrow as pa

        return self.store.arrow_column(name).take(pa.array(self.numbers, pa.int64())).combine_chunks()

    def _column(self, name: str) -> list[Any]:
        column = self.store.column(name)
        return [column[number] for number in self.numbers]

    def __repr__(self) -> str:
        return f"Zoo({str(self.root)!r}, {len(self)} networks)"


def open_zoo(root: str | Path) -> Zoo:
    """Open the zoo in a folder; one that is still being built has the networks that are safe so far.

    Raises ValueError when the folder holds no zoo.
    """
    store = Store(root)
    return Zoo(store, range(store.table.num_rows))
