"""The BlockTable: which runs of edges enter which node, without an index per edge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class BlockTable:
    """Rows ``(first_edge, first_source, count, destination)``: row r holds ``count[r]`` consecutive edges from
    consecutive nodes into one node. Several rows may share a destination; rows follow the order of the edges.

    Args:
        first_edge, first_source, count, destination: ``[R]`` int64.
        num_nodes: N. num_edges: E, the sum of ``count``.
        col: source node of each edge ``[E]``, where the sources of a row are not consecutive; None otherwise.
        num_sources: nodes that the edges come from, where these are others than the N they go to.
        check: False for rows of a table that was checked before.

    Attributes: rows ``[R, 4]``, the columns side by side; degree ``[N]``, edges into each node.

    Raises ValueError unless the rows are a partition of the edges between nodes that exist.

    >>> table = BlockTable.from_rows([[0, 0, 2, 2], [2, 0, 2, 3]], num_nodes=4)
    >>> table.source().tolist(), table.target().tolist()
    ([0, 1, 0, 1], [2, 2, 3, 3])
    """

    first_edge: Tensor
    first_source: Tensor
    count: Tensor
    destination: Tensor
    num_nodes: int
    num_edges: int
    col: Tensor | None = None
    num_sources: int | None = None
    check: InitVar[bool] = True
    rows: Tensor = field(init=False, repr=False, compare=False)
    degree: Tensor = field(init=False, repr=False, compare=False)

    @classmethod
    def from_rows(cls, rows: list[list[int]] | Tensor, num_nodes: int, col: Tensor | None = None) -> BlockTable:
        """The table of ``[R, 4]`` rows; the edges are as many as they count."""
        first, source, count, target = torch.as_tensor(rows, dtype=torch.int64).reshape(-1, 4).unbind(1)
        return cls(first, source, count, target, num_nodes, int(count.sum()), col)

    @classmethod
    def from_index(cls, index: Tensor, size: int) -> BlockTable:
        """The table that reduces item i into ``index[i]``, one of ``size`` (nodes, graphs).

        >>> BlockTable.from_index(torch.tensor([1, 0, 1]), 2).degree.tolist()
        [1, 2]
        """
        every = torch.arange(len(index), device=index.device)
        return cls(every, every, torch.ones_like(index), index, size, len(index), num_sources=len(index))

    def __post_init__(self, check: bool) -> None:
        if check and not torch.compiler.is_compiling():
            self._check()
        columns = [self.first_edge, self.first_source, self.count, self.destination]
        degree = self.count.new_zeros(self.num_nodes).index_add(0, self.destination, self.count)
        self.__dict__.update(rows=torch.stack(columns, dim=1), degree=degree)

    @property
    def sources(self) -> int:
        """Number of nodes that edges may come from."""
        return self.num_nodes if self.num_sources is None else self.num_sources

    # ---- checks

    def _check(self) -> None:
        columns = {n: getattr(self, n) for n in ("first_edge", "first_source", "count", "destination")}
        for name, column in columns.items():
            if column.dtype != torch.int64 or column.dim() != 1 or len(column) != len(self.count):
                raise ValueError(
                    f"expected {name} as {len(self.count)} int64, got {tuple(column.shape)} of {column.dtype}"
                )
        if bool((self.count < 0).any()):
            raise ValueError(f"expected counts of edges >= 0, got {int(self.count.min())}")
        if int(self.count.sum()) != self.num_edges:
            raise ValueError(f"expected counts that add up to {self.num_edges} edges, got {int(self.count.sum())}")
        if not torch.equal(self.first_edge, torch.cumsum(self.count, 0) - self.count):
            raise ValueError("expected rows whose edges follow each other from 0; first_edge must be the running count")
        self._check_nodes()

    def _check_nodes(self) -> None:
        wrong = (self.destination < 0) | (self.destination >= self.num_nodes)
        if self.col is None:
            last = self.first_source + self.count
            wrong |= (self.count > 0) & ((self.first_source < 0) | (last > self.sources))
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            found = [int(c[row]) for c in (self.first_edge, self.first_source, self.count, self.destination)]
            raise ValueError(
                f"row {row} {found} reaches outside the {self.sources} nodes that edges come from "
                f"or the {self.num_nodes} they go to"
            )
        if self.col is None:
            return
        if self.col.shape != (self.num_edges,) or self.col.dtype != torch.int64:
            raise ValueError(
                f"expected one int64 source per edge, {self.num_edges}, "
                f"got col of shape {tuple(self.col.shape)} and {self.col.dtype}"
            )
        if self.num_edges and (int(self.col.min()) < 0 or int(self.col.max()) >= self.sources):
            outside = int(self.col.min()) if int(self.col.min()) < 0 else int(self.col.max())
            raise ValueError(f"col names node {outside}, outside the {self.sources} nodes that edges come from")

    # ---- as plain torch reads it

    def source(self) -> Tensor:
        """Source node of every edge ``[E]``."""
        return self._once("_source", self._make_source)

    def target(self) -> Tensor:
        """Destination node of every edge ``[E]``."""
        return self._once("_target", lambda: self.destination[self._row()])

    def _row(self) -> Tensor:
        count = lambda: torch.repeat_interleave(self.count, output_size=self.num_edges)  # noqa: E731
        return self._once("_rows_of_edges", count)

    def _make_source(self) -> Tensor:
        if self.col is not None:
            return self.col
        within = torch.arange(self.num_edges, device=self.count.device) - self.first_edge[self._row()]
        return self.first_source[self._row()] + within

    def _once(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """What ``make`` gave the first time; torch.compile makes it anew, for it knows no caches."""
        if torch.compiler.is_compiling():
            return make()
        if name not in self.__dict__:
            self.__dict__[name] = make()
        return self.__dict__[name]

    # ---- other tables of the same edges

    def reversed(self) -> BlockTable:
        """The edges turned round, in the order they have, a row each."""
        every = torch.arange(self.num_edges, device=self.count.device)
        one = torch.ones_like(every)
        return BlockTable(every, self.target(), one, self.source(), self.sources, self.num_edges, None, self.num_nodes)

    def both_ways(self) -> BlockTable:
        """The edges followed by the same edges turned round: ``2 E`` of them."""
        back = self.reversed()
        return BlockTable(
            first_edge=torch.cat([self.first_edge, self.num_edges + back.first_edge]),
            first_source=torch.cat([self.first_source, back.first_source]),
            count=torch.cat([self.count, back.count]),
            destination=torch.cat([self.destination, back.destination]),
            num_nodes=self.num_nodes,
            num_edges=2 * self.num_edges,
            col=None if self.col is None else torch.cat([self.col, self.target()]),
        )

    def to(self, device: torch.device | str) -> BlockTable:
        moved = {n: getattr(self, n).to(device) for n in ("first_edge", "first_source", "count", "destination")}
        return replace(self, **moved, col=None if self.col is None else self.col.to(device))
