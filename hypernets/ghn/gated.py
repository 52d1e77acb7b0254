"""Messages along the edges of a graph, forward and then backward, all nodes of a topological level at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from graphs.kernels.gated.cpu import Gated
from graphs.kernels.gated.operators import gated_pass, serves
from hypernets.ghn.architecture import ArchitectureBatch

FORWARD, BACKWARD = 0, 1


class Sweep(NamedTuple):
    """One pass over the nodes of a batch.

    Args:
        order: ``[N]`` int64, the nodes, level after level.
        sizes: number of nodes of each level.
        weights: ``[N, K, N]``, nodes in that order: factor of a node's message of kind k at the node that gets it.
    """

    order: Tensor
    sizes: list[int]
    weights: Tensor


def sweep(batch: ArchitectureBatch, direction: int, virtual_edges: bool, like: Tensor) -> Sweep:
    """The pass in a direction; with virtual edges K is 2 (edges, and every path by 1 / length), else 1.

    Levels of different architectures are merged; their nodes exchange nothing, as factors between them are 0.
    """
    levels = torch.cat([own[direction] for own in batch.levels])
    order = levels.argsort(stable=True).to(like.device)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=like.device)
    weights = like.new_zeros(len(order), 1 + virtual_edges, len(order))
    for first, distance in zip(batch.first_nodes, batch.distances, strict=True):
        _add_factors(weights, place[first : first + len(distance)], distance, direction)
    return Sweep(order, levels.bincount().tolist(), weights)


def _add_factors(weights: Tensor, place: Tensor, distance: Tensor, direction: int) -> None:
    """Write those of one architecture, whose nodes are at ``place``."""
    producers, consumers = distance.nonzero(as_tuple=True)
    lengths = distance[producers, consumers]
    ends = place[producers], place[consumers]
    source, destination = ends if direction == FORWARD else reversed(ends)
    weights[source, 0, destination] = (lengths == 1).to(weights.dtype)
    if weights.shape[1] > 1:
        weights[source, 1, destination] = lengths.to(weights.dtype).reciprocal()


class GatedPropagation(nn.Module):
    """Gated graph network of GHN-1 (https://arxiv.org/abs/1810.05749) with the virtual edges of GHN-2.

    Forward, then backward, node after node in topological order (https://arxiv.org/abs/2110.13100, equations 3 and 4)::

        m_v = sum over edges MLP(h_u) + sum over paths of length s MLP_sp(h_u) / s;    h_v = GRU(m_v, h_v)

    On the CPU compiled code does that. Elsewhere whole levels are updated at once, and push their messages on to all
    nodes; none but later ones has factors.

    Args:
        hidden: width. virtual_edges: whether there is the second sum.

    Shapes: ``[N, hidden]`` -> ``[N, hidden]``.
    """

    def __init__(self, hidden: int, virtual_edges: bool) -> None:
        super().__init__()
        inner = hidden // 2 if virtual_edges else hidden
        self.edges = nn.Sequential(nn.Linear(hidden, inner), nn.ReLU(), nn.Linear(inner, hidden), nn.ReLU())
        paths = nn.Sequential(nn.Linear(hidden, inner), nn.ReLU(), nn.Linear(inner, hidden), nn.ReLU())
        self.paths = paths if virtual_edges else None
        self.gru = nn.GRUCell(hidden, hidden)

    def forward(self, x: Tensor, batch: ArchitectureBatch) -> Tensor:
        if serves(x):
            return self._by_nodes(x, batch)
        if torch.is_grad_enabled():
            return self._sweeps(x, batch)
        # Hundreds of tiny operations, each a fifth faster where no tensor can ever need a gradient.
        with torch.inference_mode():
            out = self._sweeps(x, batch)
        return out.clone()

    def _by_nodes(self, x: Tensor, batch: ArchitectureBatch) -> Tensor:
        first, first_bias, second, second_bias = self._message_maps()
        maps, gru = (torch.cat(first), torch.cat(first_bias), torch.stack(second), torch.stack(second_bias)), self.gru
        for direction in (FORWARD, BACKWARD):
            hidden = linear(x, gru.weight_hh, gru.bias_hh)
            operands = Gated(x, hidden, gru.weight_ih, gru.bias_ih, *maps)
            x = gated_pass(operands, batch.distances, last_first=direction == BACKWARD)
        return x

    def _sweeps(self, x: Tensor, batch: ArchitectureBatch) -> Tensor:
        for direction in (FORWARD, BACKWARD):
            plan = sweep(batch, direction, self.paths is not None, x)
            x = torch.empty_like(x).index_copy(0, plan.order, self._pass(x[plan.order], plan))
        return x

    def _pass(self, x: Tensor, plan: Sweep) -> Tensor:
        kinds, gru = plan.weights.shape[1], self.gru
        cell = gru.weight_ih, gru.weight_hh, gru.bias_ih, gru.bias_hh
        first, first_bias, second, second_bias = _side_by_side(*self._message_maps())
        factors = plan.weights.flatten(0, 1).T.split([kinds * size for size in plan.sizes], dim=1)
        received, updated, done = torch.zeros_like(x), [], 0
        for old, size, factor in zip(x.split(plan.sizes), plan.sizes, factors, strict=True):
            h = torch.gru_cell(received.narrow(0, done, size), old, *cell)
            message = torch.addmm(second_bias, torch.addmm(first_bias, h, first).relu_(), second).relu_()
            received = torch.addmm(received, factor, message.view(kinds * size, -1))
            updated.append(h)
            done += size
        return torch.cat(updated)

    def _message_maps(self) -> Iterator[tuple[Tensor, ...]]:
        """Of each kind of messages, weights and biases of the first layers, then of the second."""
        mlps = [mlp for mlp in (self.edges, self.paths) if mlp is not None]
        return zip(*[mlp.parameters() for mlp in mlps], strict=True)


def _side_by_side(
    first: tuple[Tensor, ...],
    first_bias: tuple[Tensor, ...],
    second: tuple[Tensor, ...],
    second_bias: tuple[Tensor, ...],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One map of both kinds for each layer: weight, transposed, and bias."""
    return torch.cat(first).T, torch.cat(first_bias), torch.block_diag(*second).T, torch.cat(second_bias)
