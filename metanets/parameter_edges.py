"""The parameter graph of Graph Metanetworks: one edge for every parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphs import EDGE_KINDS, KINDS, NODE_KINDS, GraphBatch
from graphs.kernels import BlockTable

# Nodes are neurons by kind, then parameter nodes by kind, the last for parameters of no neuron.
NODE_TYPES = (*KINDS, *NODE_KINDS, "graph")
EDGE_TYPES = (*EDGE_KINDS, *NODE_KINDS, "graph")
BUFFERS = ("running_mean", "running_var")
_GRAPH = "graph"


@dataclass(frozen=True)
class ParameterEdges:
    """A batch of networks with one edge a parameter (Lim et al. 2023, https://arxiv.org/abs/2312.04501).

    A kernel is a bundle of parallel edges. A bias (norm weight, ...) is an edge from a node that stands for all biases
    of its site into the neuron. A residual connection is an edge of weight 1.

    Args:
        table: the edges. weight: ``[E', 1]``. edge_type: ``[E']``, of EDGE_TYPES.
        tap: ``[E']``, rows of ``taps`` ``[T, 3]``: place in the kernel, -1 where there is none.
        node_type: ``[N']``, of NODE_TYPES; the N neurons come first.
        layer, rank: ``[N']`` as those of GraphBatch; rank is -1 but for neurons that may not permute.
        edge_graph, node_graph: the network of each.
    """

    table: BlockTable
    weight: Tensor
    edge_type: Tensor
    tap: Tensor
    taps: Tensor
    node_type: Tensor
    layer: Tensor
    rank: Tensor
    edge_graph: Tensor
    node_graph: Tensor


def parameter_edges(batch: GraphBatch, buffers: bool = False) -> ParameterEdges:
    """The parameter graphs of a batch. ``buffers``: whether running statistics are parameters too (Lim: no)."""
    builder = _Builder(batch)
    for edges in batch.edge_sets:
        builder.add_edges(edges)
    for parameters in batch.node_sets:
        if buffers or parameters.kind not in BUFFERS:
            builder.add_node_parameters(parameters)
    for parameters in batch.graph_sets:
        builder.add_graph_parameters(parameters)
    return builder.finish()


def parameter_graph_sizes(batch: GraphBatch, buffers: bool = False) -> list[tuple[int, int]]:
    """Nodes and edges of each network's parameter graph.

    >>> import graphs
    >>> net = torch.nn.Linear(2, 3)
    >>> parameter_graph_sizes(graphs.collate([graphs.trace(net, torch.zeros(1, 2)).bind(net.state_dict())]))
    [(6, 9)]
    """
    edges = parameter_edges(batch, buffers)
    nodes = torch.bincount(edges.node_graph, minlength=batch.num_graphs)
    return list(zip(nodes.tolist(), torch.bincount(edges.edge_graph, minlength=batch.num_graphs).tolist(), strict=True))


class _Builder:
    """Collects edges in order: those between neurons as the batch has them, then those of parameter nodes."""

    def __init__(self, batch: GraphBatch) -> None:
        self.batch, self.device = batch, batch.ptr.device
        self.num_nodes = batch.num_nodes
        self.nodes: list[tuple[Tensor, Tensor, Tensor]] = [(batch.kind, batch.layer, batch.batch)]
        self.rows: list[tuple[Tensor, ...]] = []
        self.consecutive = batch.table.col is None
        self.edges: list[tuple[Tensor, ...]] = []
        self.taps = [torch.full((1, 3), -1.0, device=self.device)]

    # ---- edges

    def add_edges(self, edges: Any) -> None:
        """A set of the batch: each tap an edge, each relation an edge of weight 1."""
        batch, part = self.batch, slice(edges.first, edges.first + edges.count)
        inside = ((batch.table.first_edge >= part.start) & (batch.table.first_edge < part.stop)).nonzero()[:, 0]
        values = edges.values if edges.values.shape[1] else edges.values.new_ones(edges.count, 1)
        size = values.shape[1]
        self._add_rows(
            batch.table.count[inside], batch.table.first_source[inside], batch.table.destination[inside], size
        )
        self._add(
            values, batch.edge_kind[part], self._taps_of(edges), batch.table.source()[part], batch.edge_batch[part]
        )

    def add_node_parameters(self, parameters: Any) -> None:
        """One parameter node a site of each network; parameters of one kind that meet at a site share the node."""
        batch, index = self.batch, parameters.index
        sites, site = torch.unique(
            batch.batch[index] * (int(batch.site.max()) + 1) + batch.site[index], return_inverse=True
        )
        member = torch.full_like(sites, batch.num_nodes).scatter_reduce(0, site, index, "amin")
        nodes = self._new_nodes(parameters.kind, batch.layer[member], batch.batch[member])
        self._add_rows(torch.ones_like(index), nodes[site], index, parameters.values.shape[1])
        kind = torch.full_like(index, EDGE_TYPES.index(parameters.kind, len(EDGE_KINDS)))
        self._add(parameters.values, kind, self._places(parameters.values.shape[1:]), nodes[site], batch.batch[index])

    def add_graph_parameters(self, parameters: Any) -> None:
        """A parameter of no neuron is a loop at a node of its own."""
        graph = parameters.index
        nodes = self._new_nodes(_GRAPH, torch.zeros_like(graph), graph)
        self._add_rows(torch.ones_like(graph), nodes, nodes, parameters.values.shape[1])
        kind = torch.full_like(graph, EDGE_TYPES.index(_GRAPH))
        self._add(parameters.values, kind, self._places(parameters.values.shape[1:]), nodes, graph)

    def _add_rows(self, count: Tensor, source: Tensor, target: Tensor, size: int) -> None:
        """Rows of runs of sources, each of which has ``size`` edges beside each other."""
        self.consecutive &= size == 1
        self.rows.append((count * size, source, target))

    def _add(self, values: Tensor, kind: Tensor, tap: Tensor, source: Tensor, graph: Tensor) -> None:
        columns = torch.stack([kind, source, graph]).repeat_interleave(values.shape[1], dim=1)
        self.edges.append((values.reshape(-1, 1), *columns, tap.repeat(len(values))))

    def _new_nodes(self, kind: str, layer: Tensor, graph: Tensor) -> Tensor:
        numbers = torch.arange(self.num_nodes, self.num_nodes + len(layer), device=self.device)
        self.nodes.append((torch.full_like(layer, NODE_TYPES.index(kind, len(KINDS))), layer, graph))
        self.num_nodes += len(layer)
        return numbers

    # ---- places in a kernel

    def _taps_of(self, edges: Any) -> Tensor:
        return self._places(edges.taps if edges.tap_kind == "kernel" else edges.values.shape[1:])

    def _places(self, sizes: tuple[int, ...]) -> Tensor:
        """Rows of ``taps`` for every place of a kernel, or of a list; row 0 where there is but one value."""
        if torch.Size(sizes).numel() <= 1:
            return torch.zeros(1, dtype=torch.int64, device=self.device)
        if len(sizes) > 3:
            raise ValueError(f"expected kernels of at most 3 dimensions, got one of {tuple(sizes)}")
        axes = torch.meshgrid(*(torch.arange(float(n), device=self.device) for n in sizes), indexing="ij")
        places = torch.full((axes[0].numel(), 3), -1.0, device=self.device)
        places[:, : len(axes)] = torch.stack(axes, dim=-1).flatten(0, -2)
        first = sum(len(t) for t in self.taps)
        self.taps.append(places)
        return torch.arange(first, first + len(places), device=self.device)

    # ---- the whole

    def finish(self) -> ParameterEdges:
        kind, layer, graph = (torch.cat(column) for column in zip(*self.nodes, strict=True))
        count, first_source, target = (torch.cat(column) for column in zip(*self.rows, strict=True))
        weight, edge_type, source, edge_graph, tap = (torch.cat(column) for column in zip(*self.edges, strict=True))
        first = torch.cumsum(count, 0) - count
        unranked = torch.full((self.num_nodes - self.batch.num_nodes,), -1, device=self.device)
        return ParameterEdges(
            table=BlockTable(
                *(first, first_source, count, target, self.num_nodes, len(source)),
                col=None if self.consecutive else source,
            ),
            weight=weight,
            edge_type=edge_type,
            tap=tap,
            taps=torch.cat(self.taps),
            node_type=kind,
            layer=layer,
            rank=torch.cat([self.batch.rank, unranked]),
            edge_graph=edge_graph,
            node_graph=graph,
        )
