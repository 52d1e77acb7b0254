"""GMN: message passing on the graph in which every parameter is an edge."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad
from torch.utils.checkpoint import checkpoint

from graphs import ACTIVATIONS, GraphBatch
from graphs.kernels import BlockTable, Update, fused_chain, fused_layer, fused_message
from metanets.fourier import FourierLinear
from metanets.layers import perceptron, stored
from metanets.model import Metanet
from metanets.parameter_edges import EDGE_TYPES, NODE_TYPES, ParameterEdges, parameter_edges
from metanets.pooling import edge_mean

# The sum of the edges themselves, after an update.
UPDATED: dict[str, Any] = {"message": "edge", "update_act": "silu", "reduce": ("sum",)}


class GraphMetanetwork(Metanet):
    """Graph Metanetworks (Lim et al. 2023, https://arxiv.org/abs/2312.04501), on any architecture.

    A layer, on the graph of :mod:`metanets.parameter_edges`::

        e  <- e + MLP([x_source, x_target, e])
        m   = mean over the edges into a node of MLP([x_source, e])
        x  <- x + MLP(LayerNorm([x, m]))

    The prediction is an MLP of the mean over the edges. The last layer updates edges alone, for no one reads its nodes.
    Each MLP has one hidden layer of SiLU; its first linear map is applied to the nodes before they are gathered, and
    that of m to the mean instead of the edges, which changes nothing.

    Widths are not published with the paper; here they are ``width`` throughout: 32 and 4 layers make 48,513
    parameters. Differs also in residual connections, LayerNorm on nodes, and the optional activations.

    Args:
        out: outputs of the model.
        width, depth: of the GNN.
        features, sigma: frequencies of the Fourier features of weights, and their standard deviation.
        position_sigma: likewise for layers, ranks and places in a kernel, which are whole numbers.
        activations: whether neurons get a vector of their activation function.
        buffers: whether running statistics are parameters (not in the paper).
        reverse: whether messages also pass backward, over the same edges turned round.

    Shapes: output ``[B, out]``. No limits on the architecture, but kernels of at most 3 dimensions.
    """

    name = "gmn"
    permutation_invariant = True

    def __init__(
        self,
        *,
        out: int = 1,
        width: int = 32,
        depth: int = 4,
        features: int = 32,
        sigma: float = 1.0,
        position_sigma: float = 0.1,
        activations: bool = True,
        buffers: bool = False,
        reverse: bool = False,
    ) -> None:
        super().__init__(**{k: v for k, v in locals().items() if k not in ("self", "__class__")})
        self.counts_buffers, self.reverse = buffers, reverse
        self.encoder = ParameterEncoder(width, features, sigma, position_sigma, activations)
        self.edge_updates = nn.ModuleList(EdgeUpdate(width) for _ in range(depth))
        self.node_updates = nn.ModuleList(NodeUpdate(width, 1 + reverse) for _ in range(depth - 1))
        self.norm = nn.LayerNorm(width)
        self.head = perceptron(width, width, out, activation=nn.SiLU)

    def forward(self, batch: GraphBatch) -> Tensor:
        graph = parameter_edges(batch, self.counts_buffers)
        x, e = self.encoder(graph, batch.activation)
        e, back = stored(e), graph.table.reversed() if self.reverse else None
        updates = list[Any](self.edge_updates)
        for update_edges, update_nodes in zip(updates, self.node_updates, strict=False):
            e, x = update_nodes(x, e, update_edges.operands(x), graph.table, back)
        (sums,) = fused_chain(e, [updates[-1].operands(x)], None, None, None, graph.table, **UPDATED)
        return self.head(self.norm(edge_mean(sums, graph.table, graph.node_graph, batch.num_graphs)))


class ParameterEncoder(nn.Module):
    """First states: node (layer, rank, type), edge (weight, layer of its target, type, place in the kernel).

    Each feature has its own encoder, Fourier or embedding; a linear map of their concatenation is the sum of them.

    Shapes: activation ``[N]``; ``[N', width]`` and ``[E', width]``.
    """

    def __init__(self, width: int, features: int, sigma: float, position_sigma: float, activations: bool) -> None:
        super().__init__()
        self.layer = FourierLinear(1, 2 * width, features, position_sigma)
        self.rank = FourierLinear(1, width, features, position_sigma)
        self.node_type = nn.Embedding(len(NODE_TYPES), width)
        self.activation = nn.Embedding(len(ACTIVATIONS), width) if activations else None
        self.weight = FourierLinear(1, width, features, sigma)
        self.edge_type = nn.Embedding(len(EDGE_TYPES), width)
        self.place = FourierLinear(3, width, features, position_sigma)

    def forward(self, graph: ParameterEdges, activation: Tensor) -> tuple[Tensor, Tensor]:
        dtype = self.edge_type.weight.dtype
        node_layer, edge_layer = self.layer(graph.layer[:, None].to(dtype)).chunk(2, dim=1)
        x = node_layer + self.rank(graph.rank[:, None].to(dtype)) + self.node_type(graph.node_type)
        if self.activation is not None:
            x = x + pad(self.activation(activation), (0, 0, 0, len(x) - len(activation)))
        kinds = (self.edge_type.weight[:, None] + self.place(graph.taps.to(dtype))).flatten(0, 1)
        kind = graph.edge_type * len(graph.taps) + graph.tap
        return x, self.weight(graph.weight, table=graph.table, nodes=edge_layer, kinds=kinds, kind=kind)


class EdgeUpdate(nn.Module):
    """``e + last(silu(source x_j + target x_i + edge e))``, executed by those who read the edges."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.source, self.target = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.edge, self.last = nn.Linear(width, width), nn.Linear(width, width)

    def operands(self, x: Tensor) -> Update:
        """The update as a sweep takes it."""
        edge, last = self.edge, self.last
        return Update(self.source(x), self.target(x), edge.weight.T, last.weight.T, edge.bias, last.bias)


class NodeUpdate(nn.Module):
    """``x + MLP(LayerNorm([x, m]))`` with m the mean message of each direction, of edges that are updated on the way.

    Shapes: ``[N, width]``, ``[E, width]``; the edges ``[E, width]``, the nodes ``[N, width]``.
    """

    def __init__(self, width: int, directions: int) -> None:
        super().__init__()
        self.messages = nn.ModuleList(MeanMessage(width) for _ in range(directions))
        self.norm = nn.LayerNorm((1 + directions) * width)
        self.update = perceptron((1 + directions) * width, width, width, activation=nn.SiLU)

    def forward(
        self, x: Tensor, e: Tensor, update: Update, table: BlockTable, back: BlockTable | None
    ) -> tuple[Tensor, Tensor]:
        forward: Any = self.messages[0]
        U, V, Wu, Wo, bu, bo = update
        P, We, be = forward.operands(x)
        biases = {"be": be, "bu": bu, "bo": bo}
        ways: dict[str, Any] = {"act": "silu", "update_act": "silu", "reads": "new", "reduce": ("mean",)}
        e, mean = fused_layer(P, None, U, V, e, We, Wu, Wo, table, **biases, **ways)
        means = [forward.mapped(mean, table)]
        if back is not None:
            means.append(self.messages[1](x, e, back))
        # What these maps keep for backward is made again there: of small networks, most of an edge state a layer.
        return e, x + checkpoint(self._of_nodes, x, *means, use_reentrant=False)

    def _of_nodes(self, x: Tensor, *means: Tensor) -> Tensor:
        return self.update(self.norm(torch.cat([x, *means], dim=1)))


class MeanMessage(nn.Module):
    """Mean over the edges into a node of ``last(silu(source x_j + edge e))``; 0 for a node without edges.

    Shapes: ``[N, width]``, ``[E, width]``; ``[N, width]``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.source = nn.Linear(width, width, bias=False)
        self.edge, self.last = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, e: Tensor, table: BlockTable) -> Tensor:
        P, We, be = self.operands(x)
        (mean,) = fused_message(P, None, e, We, table, bias=be, act="silu", reduce=("mean",))
        return self.mapped(mean, table)

    def operands(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """P, We and their bias, as a sweep takes them."""
        return self.source(x), self.edge.weight.T, self.edge.bias

    def mapped(self, mean: Tensor, table: BlockTable) -> Tensor:
        """The mean of ``last(m)`` from the mean of m: its linear map, but for the bias where there is no edge."""
        return linear(mean, self.last.weight) + (table.degree > 0)[:, None] * self.last.bias
