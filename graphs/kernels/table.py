"""The BlockTable: which runs of edges enter which node, without an index per edge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

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

    @classmethod
    def from_rows(cls, rows: list[list[int]] | Tensor, num_nodes: int, col: Tensor | None = None) -> BlockTable:
        """A checked table from ``[R, 4]`` rows. Raises ValueError for rows that are no partition of the edges."""
        table = torch.as_tensor(rows, dtype=torch.int64).reshape(-1, 4)
        first, source, count, target = table.unbind(1)
        num_edges = int(count.sum())
        expected = torch.cumsum(count, 0) - count
        if not torch.equal(first, expected):
            raise ValueError("expected rows whose edges follow each other from 0; first_edge must be the running count")
        out_of_range = (target < 0) | (target >= num_nodes)
        if col is None:
            out_of_range |= (count > 0) & ((source < 0) | (source + count > num_nodes))
        if bool(out_of_range.any()):
            row = int(out_of_range.nonzero()[0])
            raise ValueError(f"row {row} {table[row].tolist()} reaches outside the {num_nodes} nodes")
        if col is not None and col.shape != (num_edges,):
            raise ValueError(f"expected one source per edge, {num_edges}, got col of shape {tuple(col.shape)}")
        return cls(first, source, count, target, num_nodes, num_edges, col)

    @cached_property
    def _row(self) -> Tensor:
        return torch.repeat_interleave(self.count, output_size=self.num_edges)

    @cached_property
    def _source(self) -> Tensor:
        if self.col is not None:
            return self.col
        within = torch.arange(self.num_edges, device=self.count.device) - self.first_edge[self._row]
        return self.first_source[self._row] + within

    @cached_property
    def _target(self) -> Tensor:
        return self.destination[self._row]

    @cached_property
    def degree(self) -> Tensor:
        """Number of edges into each node ``[N]``."""
        return torch.zeros(self.num_nodes, dtype=torch.int64, device=self.count.device).index_add_(
            0, self.destination, self.count
        )

    def source(self) -> Tensor:
        """Source node of every edge ``[E]``."""
        return self._source

    def target(self) -> Tensor:
        """Destination node of every edge ``[E]``."""
        return self._target

    def to(self, device: torch.device | str) -> BlockTable:
        moved = {n: getattr(self, n).to(device) for n in ("first_edge", "first_source", "count", "destination")}
        return replace(self, **moved, col=None if self.col is None else self.col.to(device))
