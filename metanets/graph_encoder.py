"""From raw weights to the first states of nodes and edges, as Neural Graphs encodes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphs import ACTIVATIONS, EDGE_KINDS, KINDS, NODE_KINDS, GraphBatch
from metanets.encoders import TapEncoder
from metanets.positions import NeuronPositions

RELATIONS = ("identity", "member")
_FIRST_RELATION = EDGE_KINDS.index(RELATIONS[0])
# Channels of an edge feature [w, w^T, w + w^T] that a forward edge fills, and its reversal.
_FORWARD, _BACKWARD = (0, 2), (1, 2)


class GraphEncoder(nn.Module):
    """Node and edge features of Neural Graphs (https://arxiv.org/abs/2403.12143), each through Fourier features and
    two linear maps; to the nodes are added positions and, if wanted, activations.

    A parameter of a kind that the configuration leaves out is refused, not skipped.

    Args:
        width: of the states.
        positions: of the neurons.
        features, sigma, kernel, flat_taps, node_taps, node_parameters, graph_parameters, relations, activations,
            reverse: see NeuralGraphGNN.

    Shapes: nodes ``[N, width]``; edges ``[E, width]``, or ``[2 E, width]`` with reverse, before ``project_edges``,
    which is left to the reader of the edges to multiply out.
    """

    def __init__(
        self,
        width: int,
        positions: NeuronPositions,
        features: int,
        sigma: float,
        kernel: Sequence[int] = (),
        flat_taps: int = 0,
        node_taps: int = 1,
        node_parameters: Sequence[str] = (),
        graph_parameters: int = 0,
        relations: bool = False,
        activations: bool = False,
        reverse: bool = False,
    ) -> None:
        super().__init__()
        unknown = [kind for kind in node_parameters if kind not in NODE_KINDS]
        if unknown:
            raise ValueError(f"unknown node parameter {unknown[0]!r}; choose among {', '.join(NODE_KINDS)}")
        settings: dict[str, Any] = {"width": width, "features": features, "sigma": sigma}
        ways: dict[str, Any] = {**settings, "channels": 3 if reverse else 1}
        self.width, self.reverse = width, reverse
        self.positions = positions
        self.weights = TapEncoder(tuple(kernel), **ways)
        self.biases = TapEncoder((), **settings)
        self.project_nodes, self.project_edges = nn.Linear(width, width), nn.Linear(width, width)
        self.flat = TapEncoder((flat_taps,), centred=False, **ways) if flat_taps else None
        self.graph = TapEncoder((graph_parameters,), centred=False, **settings) if graph_parameters else None
        of_neurons = {kind: TapEncoder((node_taps,), centred=False, **settings) for kind in node_parameters}
        self.of_neurons = nn.ModuleDict(of_neurons)
        self.relations = nn.Embedding((1 + reverse) * len(RELATIONS), width) if relations else None
        self.activations = nn.Embedding(len(ACTIVATIONS), width) if activations else None

    def forward(self, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        nodes = self.project_nodes(self._values_of_nodes(batch)) + self.positions(batch)
        if self.activations is not None:
            hidden = (batch.kind == KINDS.index("hidden"))[:, None]
            nodes = nodes + self.activations(batch.activation) * hidden
        return nodes, self._edges(batch)

    # ---- nodes

    def _values_of_nodes(self, batch: GraphBatch) -> Tensor:
        """Biases of one place are summed, as the network sums them; other parameters are encoded each on its own."""
        bias = self.positions.vectors.new_zeros(batch.num_nodes, 1)
        encoded = []
        for group in batch.node_sets:
            if group.kind == "bias" and group.values.shape[1] == 1:
                bias = bias.index_add(0, group.index, group.values.to(bias.dtype))
            else:
                encoded.append((group.index, self._encoder(group.kind)(*_values(group))))
        nodes = self.biases(bias)
        for index, values in encoded:
            nodes = nodes.index_add(0, index, values)
        return self._add_graph_parameters(nodes, batch)

    def _encoder(self, kind: str) -> nn.Module:
        wanted = dict(self.of_neurons.items()).get(kind)
        what = "biases that depend on the position" if kind == "bias" else f"parameters of neurons {kind!r}"
        return self._built(wanted, what, f"node_parameters=[{kind!r}, ...]")

    def _add_graph_parameters(self, nodes: Tensor, batch: GraphBatch) -> Tensor:
        for group in batch.graph_sets:
            encoder = self._built(self.graph, "parameters of no neuron", "graph_parameters=...")
            values = encoder(group.values, (group.values.shape[1],))
            summed = nodes.new_zeros(batch.num_graphs, self.width).index_add(0, group.index, values)
            nodes = nodes + summed[batch.batch]
        return nodes

    # ---- edges

    def _edges(self, batch: GraphBatch) -> Tensor:
        ways = ((_FORWARD, 0), (_BACKWARD, 1)) if self.reverse else (((0,), 0),)
        pieces = [self._edge_set(batch, s, channels, way) for channels, way in ways for s in batch.edge_sets]
        return (
            pieces[0] if len(pieces) == 1 else torch.cat([*pieces, self.project_edges.weight.new_zeros(0, self.width)])
        )

    def _edge_set(self, batch: GraphBatch, edges: Any, channels: tuple[int, ...], way: int) -> Tensor:
        if edges.values.shape[1] == 0:
            kind = batch.edge_kind[edges.first : edges.first + edges.count] - _FIRST_RELATION
            relations = self._built(self.relations, "edges without weights (residual, heads)", "relations=True")
            return relations(kind + way * len(RELATIONS))
        if edges.tap_kind == "flat":
            flat = self._built(self.flat, "a flattened map", f"flat_taps={edges.values.shape[1]} or more")
            return flat(edges.values, (edges.values.shape[1],), channels)
        return self.weights(edges.values, edges.taps, channels)

    def _built(self, module: nn.Module | None, what: str, keyword: str) -> nn.Module:
        if module is None:
            raise ValueError(f"this model was not created for networks with {what}; create it with {keyword}")
        return module


def _values(group: Any) -> tuple[Tensor, tuple[int, ...]]:
    """Values and taps of a node parameter; variances, which may be of any size, as log(1 + v)."""
    values = group.values.clamp(min=0).log1p() if group.kind == "running_var" else group.values
    return values, (group.values.shape[1],)
