"""GraphBatch: many parameter graphs as one, of one or of mixed topologies; nothing is padded or indexed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from graphs.kernels import BlockTable
from graphs.parameter_graph import ParameterGraph
from graphs.skeleton import SetKey, Skeleton, skeleton
from graphs.topology import ParameterBlock, Topology


@dataclass(frozen=True)
class EdgeSet:
    """A range of the batch's edges that share one tap shape.

    Args:
        first, count: the edges ``first .. first + count``.
        tap_kind: none, kernel or flat (places of a flattened map).
        taps: sizes of the taps, () for plain weights.
        values: weights ``[count, K]``; K = 0 for relations, which have none.
    """

    first: int
    count: int
    tap_kind: str
    taps: tuple[int, ...]
    values: Tensor


@dataclass(frozen=True)
class NodeSet:
    """Parameters with one group axis, of one kind and tap shape: ``values [n, K]`` at the nodes ``index [n]``
    (at graphs, for parameters with no group axis)."""

    kind: str
    taps: tuple[int, ...]
    index: Tensor
    values: Tensor


class GraphBatch:
    """Graphs side by side. Nodes are graph-major, edges lie in sets of one kernel shape, each set graph-major.

    Attributes are documented in the legend of :mod:`graphs` and on the properties.
    """

    def __init__(self, graphs: Sequence[ParameterGraph]) -> None:
        if not graphs:
            raise ValueError("expected at least one graph to collate, got none")
        self.graphs = list(graphs)
        self._skeletons = [skeleton(g.topology) for g in self.graphs]
        counts = [s.num_nodes for s in self._skeletons]
        self.ptr = torch.tensor(np.concatenate([[0], np.cumsum(counts)]), dtype=torch.int64)
        self.edge_sets: tuple[EdgeSet, ...]
        self.table: BlockTable
        self._collate_edges()
        self.node_sets, self.node_blocks = self._collate_nodes("node_sets", self.ptr[:-1].tolist())
        self.graph_sets, _ = self._collate_nodes("graph_sets", list(range(len(self.graphs))))

    @property
    def num_graphs(self) -> int:
        return len(self.graphs)

    @property
    def num_nodes(self) -> int:
        return int(self.ptr[-1])

    @property
    def num_edges(self) -> int:
        return self.table.num_edges

    @property
    def topology(self) -> Topology:
        """The one topology of all graphs. Raises ValueError for a mixed batch."""
        distinct = {g.topology for g in self.graphs}
        if len(distinct) > 1:
            raise ValueError(f"expected graphs of one topology, got {len(distinct)}; batch each architecture by itself")
        return self.graphs[0].topology

    # ---- nodes

    def _per_node(self, name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(s, name) for s in self._skeletons])).to(self.ptr.device)

    @cached_property
    def batch(self) -> Tensor:
        """Graph of every node ``[N]``."""
        return torch.repeat_interleave(torch.arange(self.num_graphs, device=self.ptr.device), self.ptr.diff())

    @cached_property
    def site(self) -> Tensor:
        """Site of every node, numbered in its topology ``[N]``."""
        return self._per_node("site")

    @cached_property
    def layer(self) -> Tensor:
        """Layer of the node's site: 0 for inputs ``[N]``."""
        return self._per_node("layer")

    @cached_property
    def kind(self) -> Tensor:
        """Index in KINDS of the node's group ``[N]``."""
        return self._per_node("kind")

    @cached_property
    def rank(self) -> Tensor:
        """Place of the node in its site where it does not permute, -1 where it does ``[N]``."""
        return self._per_node("rank")

    @cached_property
    def activation(self) -> Tensor:
        """Index in ACTIVATIONS of the function at the node's site ``[N]``."""
        return self._per_node("activation")

    # ---- edges

    def _collate_edges(self) -> None:
        rows, cols, kinds, sets, first = [], [], [], [], 0
        node_first = self.ptr[:-1].tolist()
        self.edge_blocks: list[list[tuple[int, ParameterBlock]]] = []
        for key in sorted({k for s in self._skeletons for k in s.edge_sets}):
            start, values, used = first, [], []
            for number, (graph, bones, node) in enumerate(zip(self.graphs, self._skeletons, node_first, strict=True)):
                if key not in bones.edge_sets:
                    continue
                part = bones.edge_sets[key]
                rows.append(part.rows + np.array([first, node, 0, node]))
                cols.append(part.col + node)
                kinds.append(part.kind)
                values += [graph.values(b) for b in part.blocks]
                used += [(number, b) for b in part.blocks]
                first += part.num_edges
            if key.tap_kind != "relation":
                self.edge_blocks.append(used)
            weights = torch.cat(values) if values else self._weightless(first - start)
            sets.append(EdgeSet(start, first - start, key.tap_kind, key.taps, weights))
        table = np.concatenate(rows) if rows else np.zeros((0, 4), dtype=np.int64)
        parts = [torch.from_numpy(np.ascontiguousarray(table[:, i])) for i in range(4)]
        col = None
        if not all(s.consecutive for s in self._skeletons):
            col = torch.from_numpy(np.concatenate(cols))
        self.table = BlockTable(*parts, num_nodes=self.num_nodes, num_edges=first, col=col)
        self._row_kind = torch.from_numpy(np.concatenate(kinds) if kinds else np.zeros(0, dtype=np.int64))
        self.edge_sets = tuple(sets)

    def _weightless(self, count: int) -> Tensor:
        return self.graphs[0].flat().new_zeros(count, 0)

    @cached_property
    def edge_kind(self) -> Tensor:
        """Index in EDGE_KINDS of every edge ``[E]``."""
        return torch.repeat_interleave(self._row_kind, self.table.count, output_size=self.num_edges)

    @cached_property
    def edge_batch(self) -> Tensor:
        """Graph of every edge ``[E]``."""
        return self.batch[self.table.target()]

    @cached_property
    def _reversed(self) -> tuple[BlockTable, Tensor]:
        order = torch.argsort(self.table.source(), stable=True)
        node, count = torch.unique_consecutive(self.table.source()[order], return_counts=True)
        first = torch.cumsum(count, 0) - count
        rows = (first, torch.zeros_like(first), count, node)
        table = BlockTable(*rows, num_nodes=self.num_nodes, num_edges=self.num_edges, col=self.table.target()[order])
        return table, order

    def reverse(self) -> tuple[BlockTable, Tensor]:
        """Table of the reversed edges, and the permutation: reversed edge i is edge ``permutation[i]``."""
        return self._reversed

    # ---- parameters at nodes and graphs

    def _collate_nodes(
        self, name: str, first: list[int]
    ) -> tuple[tuple[NodeSet, ...], list[list[tuple[int, ParameterBlock]]]]:
        """The sets, and for each the (graph, block) pairs its values are of, in order."""
        sets, blocks = [], []
        for key in sorted({k for s in self._skeletons for k in getattr(s, name)}):
            index, values, used = [], [], []
            for number, (graph, bones, node) in enumerate(zip(self.graphs, self._skeletons, first, strict=True)):
                if key in getattr(bones, name):
                    part = getattr(bones, name)[key]
                    index.append(part.index + node)
                    values += [graph.values(b) for b in part.blocks]
                    used += [(number, b) for b in part.blocks]
            blocks.append(used)
            nodes = torch.from_numpy(np.concatenate(index))
            sets.append(NodeSet(key.kind, key.taps, nodes, torch.cat(values)))
        return tuple(sets), blocks

    # ---- other forms of the same weights

    def flat(self) -> Tensor:
        """All weights of graphs of one topology ``[B, P]``."""
        assert self.topology is not None
        return torch.stack([g.flat() for g in self.graphs])

    def tensors(self) -> dict[str, Tensor]:
        """Each floating entry over the graphs ``[B, *shape, 1]``; one topology only."""
        flat = self.flat()
        entries = [e for e in self.topology.entries if e.offset is not None]
        return {e.name: flat[:, e.offset : e.offset + e.numel].view(-1, *e.shape, 1) for e in entries}

    def to_state_dicts(self, edge: Sequence[Tensor], node: Sequence[Tensor] = ()) -> list[dict[str, Tensor]]:
        """State_dicts with new weights: ``edge`` holds one ``[count, K]`` for every edge set that has weights, ``node``
        one ``[n, K]`` for every node set (none: unchanged). A parameter used several times gets the mean of its uses.
        Differentiable in ``edge`` and ``node``. Raises ValueError for another number or shape of tensors."""
        from graphs.writing import write_back

        return write_back(self, edge, node)

    def run(self, x: Tensor, activations: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """The networks' own outputs on one input batch ``[B, K, ...]``; with ``activations`` also every node's value
        ``[N, K]``; see :func:`graphs.running.run`."""
        from graphs.running import run

        return run(self, x, activations)

    def to(self, target: torch.device | str | torch.dtype) -> GraphBatch:
        """The batch on another device, or with weights of another dtype."""
        from graphs.moving import moved

        return moved(self, target)


def collate(graphs: Sequence[ParameterGraph]) -> GraphBatch:
    """One GraphBatch of graphs of any topologies.

    >>> import torch, graphs
    >>> nets = [torch.nn.Sequential(torch.nn.Linear(2, n), torch.nn.ReLU(), torch.nn.Linear(n, 1)) for n in (3, 5)]
    >>> batch = graphs.collate([graphs.trace(n, torch.zeros(1, 2)).bind(n.state_dict()) for n in nets])
    >>> batch.num_graphs, batch.num_nodes, batch.num_edges
    (2, 14, 24)
    """
    return GraphBatch(graphs)


__all__ = ["EdgeSet", "GraphBatch", "NodeSet", "SetKey", "Skeleton", "collate"]
