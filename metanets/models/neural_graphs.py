"""NG-GNN: message passing over the neurons of a network, its weights on the edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from graphs import GraphBatch
from graphs.kernels import BlockTable, fused_layer, fused_message, segment_reduce
from metanets.graph_encoder import GraphEncoder
from metanets.layers import compose, perceptron, stored
from metanets.model import Metanet
from metanets.pooling import concatenate_outputs, edge_mean, graph_mean
from metanets.positions import NeuronPositions

AGGREGATORS = ("mean", "min", "max", "std")
READOUTS = ("outputs", "nodes", "edges")
# Mean of log(in-degree + 1) over the neurons of an INR 2-32-32-1.
INR_LOG_DEGREE = (32 * math.log(3) + 33 * math.log(33)) / 67


class NeuralGraphGNN(Metanet):
    """Neural Graphs with a GNN (Kofinas et al. 2024, https://arxiv.org/abs/2403.12143).

    A node a neuron (feature: bias), an edge a weight or kernel. A layer is principal neighbourhood aggregation with
    messages modulated by the edge, ``scale(e) * pre([x_i, x_j]) + shift(e)``, followed by
    ``e <- lin1(silu(lin_e e + lin_s x_j + lin_t x_i))``.

    Differs from the authors' code in one thing: LayerNorm normalises each node, not the whole batch, so a prediction
    does not depend on the batch. Linear maps that follow each other on the edges are multiplied out, which changes
    nothing. The default configuration serves an INR 2-32-32-1 and has 92,010 parameters:

    =========================================================  ======
    positions of 2 inputs, 2 layers, 1 output                     160
    weight and bias encoders, 2 * (256 * 32 + 32)              16,448
    projections of edges and nodes, 2 * (32 * 32 + 32)          2,112
    4 convolutions: edge 2,112, pre 2,080, post 9,248, 1,056   57,984
    3 LayerNorms                                                  192
    3 edge updates of 4 * (32 * 32 + 32)                       12,672
    readout 32-32-32-10                                         2,442
    =========================================================  ======

    Args:
        out: outputs of the model.
        width, depth: of the GNN; depth counts convolutions.
        features, sigma: frequencies of the Fourier features and their standard deviation.
        inputs, layers, outputs, vocabulary, pinned: largest networks served; see NeuronPositions.
        kernel: largest convolution kernel; () for none.
        flat_taps: largest map that is flattened into a linear layer.
        node_parameters: parameters of neurons besides plain biases, among graphs.NODE_KINDS ("bias": those that depend
            on the position, "other": also tables of positions).
        node_taps: most values that one of these has for a neuron.
        graph_parameters: most values of a parameter that belongs to no neuron; 0 for none.
        relations: whether edges without weights (residual, concatenation, heads) are served, by a learned vector each.
        activations: whether hidden nodes get a vector of their activation function.
        readout: parts joined by "+": "outputs" (the states of the output nodes, one after the other; all networks have
            ``outputs`` of them), "nodes" (mean over all nodes), "edges" (mean over all edges).
        reverse: whether messages also pass backward, along edges of features [0, w, w] (forward: [w, 0, w]).
        log_degree: mean of log(in-degree + 1) over the training networks, the unit of PNA's amplification.

    Shapes: output ``[B, out]``. Raises ValueError for a network beyond the configuration, and names the keyword.

    >>> sum(p.numel() for p in NeuralGraphGNN(out=10).parameters())
    92010
    """

    name = "ng-gnn"
    permutation_invariant = True

    def __init__(
        self,
        *,
        out: int = 10,
        width: int = 32,
        depth: int = 4,
        features: int = 128,
        sigma: float = 3.0,
        inputs: int = 2,
        layers: int = 2,
        outputs: int = 1,
        vocabulary: int = 0,
        pinned: int = 0,
        kernel: Sequence[int] = (),
        flat_taps: int = 0,
        node_taps: int = 1,
        node_parameters: Sequence[str] = (),
        graph_parameters: int = 0,
        relations: bool = False,
        activations: bool = False,
        readout: str = "outputs",
        reverse: bool = False,
        log_degree: float = INR_LOG_DEGREE,
    ) -> None:
        super().__init__(**{k: v for k, v in locals().items() if k not in ("self", "__class__")})
        self.readout, self.outputs, self.reverse = _parts(readout), outputs, reverse
        positions = NeuronPositions(width, inputs, layers, outputs, vocabulary, pinned)
        self.encoder = GraphEncoder(
            width,
            positions,
            features,
            sigma,
            kernel=kernel,
            flat_taps=flat_taps,
            node_taps=node_taps,
            node_parameters=node_parameters,
            graph_parameters=graph_parameters,
            relations=relations,
            activations=activations,
            reverse=reverse,
        )
        self.convolutions = nn.ModuleList(EdgeModulatedPNA(width, log_degree) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth - 1))
        self.edge_updates = nn.ModuleList(EdgeUpdate(width) for _ in range(depth - 1))
        size = sum(outputs if part == "outputs" else 1 for part in self.readout)
        self.head = perceptron(size * width, width, width, out)

    def forward(self, batch: GraphBatch) -> Tensor:
        x, e = self.encoder(batch)
        e = stored(e)
        # An edge state is ``project(e)``: its last linear map is left to those who read it.
        project = self.encoder.project_edges
        table = batch.table.both_ways() if self.reverse else batch.table
        first, *convolutions = list[Any](self.convolutions)
        x = first(x, e, project, table)
        for norm, update, convolution in zip(self.norms, list[Any](self.edge_updates), convolutions, strict=True):
            x = silu(norm(x))
            e, x = convolution.after(update, x, e, project, table)
            project = update.last
        return self.head(self._read(x, e, project, table, batch))

    def _read(self, x: Tensor, e: Tensor, project: nn.Linear, table: BlockTable, batch: GraphBatch) -> Tensor:
        parts = {
            "outputs": lambda: concatenate_outputs(x, batch, self.outputs),
            "nodes": lambda: graph_mean(x, batch.batch, batch.num_graphs),
            "edges": lambda: project(edge_mean(segment_reduce(e, table)[0], table, batch.batch, batch.num_graphs)),
        }
        return torch.cat([parts[part]() for part in self.readout], dim=1)


class EdgeModulatedPNA(nn.Module):
    """``x_i <- lin(post([x_i, A_i, log(d_i + 1) / log_degree * A_i]))`` with A the mean, min, max and std of the
    messages ``scale(e) * pre([x_i, x_j]) + shift(e)`` (PNA: https://arxiv.org/abs/2004.05718).

    A linear map of a concatenation is the sum of two linear maps of the nodes, which are far fewer than the edges.

    Args:
        width: of nodes, edges and messages.
        log_degree: see NeuralGraphGNN.

    Shapes: x ``[N, width]``, e ``[E, width]``; output ``[N, width]``.
    """

    def __init__(self, width: int, log_degree: float) -> None:
        super().__init__()
        self.log_degree = log_degree
        self.edge = nn.Linear(width, 2 * width)
        self.pre = nn.Linear(2 * width, width)
        self.post = nn.Linear((2 * len(AGGREGATORS) + 1) * width, width)
        self.last = nn.Linear(width, width)

    def forward(self, x: Tensor, e: Tensor, project: nn.Linear, table: BlockTable) -> Tensor:
        P, Q, We, be = self._operands(x, project)
        return self._update(x, table, fused_message(P, Q, e, We, table, bias=be, message="film", reduce=AGGREGATORS))

    def after(
        self, update: EdgeUpdate, x: Tensor, e: Tensor, project: nn.Linear, table: BlockTable
    ) -> tuple[Tensor, Tensor]:
        """The edges after an update, and the nodes after messages of those edges, in one sweep."""
        P, Q, We, be = self._operands(x, update.last)
        U, V, Wu, bu = update.operands(x, project)
        ways: dict[str, Any] = {"act": "identity", "update_act": "silu", "residual": False, "reads": "new"}
        options = {**ways, "message": "film", "reduce": AGGREGATORS}
        e, *found = fused_layer(P, Q, U, V, e, We, Wu, None, table, be=be, bu=bu, **options)
        return e, self._update(x, table, found)

    def _operands(self, x: Tensor, project: nn.Linear) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        weight, bias = compose(project, self.edge)
        into, outof = self.pre.weight.chunk(2, dim=1)
        return linear(x, outof), linear(x, into, self.pre.bias), weight.T, bias

    def _update(self, x: Tensor, table: BlockTable, reduced: Sequence[Tensor]) -> Tensor:
        found = torch.cat(list(reduced), dim=1)
        amplification = (table.degree + 1).to(x.dtype).log()[:, None] / self.log_degree
        return self.last(self.post(torch.cat([x, found, amplification * found], dim=1)))


class EdgeUpdate(nn.Module):
    """``e <- last(silu(edge e + source x_j + target x_i))``; ``last`` is left to those who read e."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edge, self.source, self.target, self.last = (nn.Linear(width, width) for _ in range(4))

    def operands(self, x: Tensor, project: nn.Linear) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """U, V, Wu and bu of :class:`graphs.kernels.Update`, for edge states ``project(e)``."""
        weight, bias = compose(project, self.edge)
        return self.source(x), self.target(x), weight.T, bias


def _parts(readout: str) -> list[str]:
    parts = readout.split("+")
    unknown = [part for part in parts if part not in READOUTS]
    if unknown:
        raise ValueError(
            f"unknown part {unknown[0]!r} of readout {readout!r}; join any of {', '.join(READOUTS)} by '+'"
        )
    return parts
