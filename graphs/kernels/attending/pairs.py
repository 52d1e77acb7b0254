"""All pairs of nodes of each graph as edges: what attends among whole networks reads."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from graphs.kernels.table import BlockTable


@dataclass(frozen=True)
class Pairs:
    """Edges between all nodes of each graph of a batch, also from a node to itself, and never between graphs.

    In a graph of n nodes, whose first node is f and whose first pair is p, node j enters node i by the edge
    ``p + (i - f) n + (j - f)``: one row of the table per node, no index per pair.

    Args:
        ptr: first node of each graph, then the number of nodes, ``[B + 1]`` int64 (``GraphBatch.ptr``).

    Attributes: table, the pairs as edges.

    Raises ValueError unless ``ptr`` rises from 0.

    >>> pairs = Pairs(torch.tensor([0, 2, 3]))
    >>> pairs.table.target().tolist(), pairs.table.source().tolist()
    ([0, 0, 1, 1, 2], [0, 1, 0, 1, 2])
    """

    ptr: Tensor
    table: BlockTable = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ptr = self.ptr
        if ptr.dtype != torch.int64 or ptr.dim() != 1 or not len(ptr) or int(ptr[0]) or bool((ptr.diff() < 0).any()):
            raise ValueError(f"expected int64 first nodes of graphs, rising from 0, got {ptr.tolist()} of {ptr.dtype}")
        size = ptr.diff()
        count = size.repeat_interleave(size)
        nodes = torch.arange(len(count), device=ptr.device)
        columns = torch.cumsum(count, 0) - count, ptr[:-1].repeat_interleave(size), count, nodes
        table = BlockTable(*columns, num_nodes=len(nodes), num_edges=int(count.sum()))
        self.__dict__.update(table=table)

    def of_edges(self, edges: BlockTable) -> Tensor:
        """The pair that each edge of the same graphs joins, ``[E]``: where its value goes among the pairs.

        Parallel edges (a parameter used twice, a relation beside a weight) have one pair: add their values up.
        Raises ValueError for an edge between graphs.

        >>> edges = BlockTable.from_rows([[0, 0, 1, 1]], num_nodes=3)
        >>> pairs = Pairs(torch.tensor([0, 2, 3]))
        >>> torch.zeros(5, 1).index_add(0, pairs.of_edges(edges), torch.ones(1, 1)).flatten().tolist()
        [0.0, 0.0, 1.0, 0.0, 0.0]
        """
        source, target = edges.source(), edges.target()
        first, count = self.table.first_source[target], self.table.count[target]
        outside = (source < first) | (source >= first + count)
        if bool(outside.any()):
            edge = int(outside.nonzero()[0])
            raise ValueError(
                f"expected edges within one graph, got edge {edge} from node {int(source[edge])} to {int(target[edge])}"
            )
        return self.table.first_edge[target] + source - first

    def transposed(self) -> Tensor:
        """The pair from i to j for each pair from j to i, ``[E]``: ``e[pairs.transposed()]`` are the values e^T.

        >>> Pairs(torch.tensor([0, 2, 3])).transposed().tolist()
        [0, 2, 1, 3, 4]
        """
        source, target = self.table.source(), self.table.target()
        return self.table.first_edge[source] + target - self.table.first_source[target]
