"""The few operations that models on parameter graphs share."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from graphs.kernels import BlockTable


def perceptron(*sizes: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear maps of these sizes with activations between them, none at the end.

    >>> len(perceptron(32, 32, 10))
    3
    """
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes):
        layers += [nn.Linear(size_in, size_out), activation()]
    return nn.Sequential(*layers[:-1])


def gather_pair(source: Tensor, target: Tensor, table: BlockTable) -> Tensor:
    """``source[j] + target[i]`` on every edge j -> i: what is left on the edges of ``Linear([x_i, x_j])``.

    A linear map of a concatenation is the sum of two linear maps of the nodes, which are far fewer than the edges.

    Shapes: ``[N, F]`` both; output ``[E, F]``.
    """
    return source.index_select(0, table.source()) + target.index_select(0, table.target())


def full_precision(x: Tensor) -> Tensor:
    """``x`` in float32 where autocast made it shorter: what is summed over many edges must not be rounded to 8 bits."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def compose(first: nn.Linear, second: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias of ``second(first(x))``, so that the value between them need not exist."""
    return second.weight @ first.weight, linear(first.bias, second.weight, second.bias)


def index_table(index: Tensor, size: int) -> BlockTable:
    """The table that reduces row i of some values into ``index[i]``, one of ``size`` (graphs, nodes)."""
    count = torch.ones_like(index)
    return BlockTable(torch.arange(len(index), device=index.device), index, count, index, size, len(index), col=index)


def reversed_table(table: BlockTable) -> BlockTable:
    """The edges of a table turned round, in the order they have, one row each."""
    source, target = table.source(), table.target()
    every, one = torch.arange(table.num_edges, device=source.device), torch.ones_like(source)
    return BlockTable(every, target, one, source, table.num_nodes, table.num_edges, col=target)


def both_ways(table: BlockTable) -> BlockTable:
    """The edges of a table followed by the same edges turned round: ``2 E`` of them."""
    back = reversed_table(table)
    return BlockTable(
        first_edge=torch.cat([table.first_edge, table.num_edges + back.first_edge]),
        first_source=torch.cat([table.first_source, back.first_source]),
        count=torch.cat([table.count, back.count]),
        destination=torch.cat([table.destination, back.destination]),
        num_nodes=table.num_nodes,
        num_edges=2 * table.num_edges,
        col=torch.cat([table.source(), table.target()]),
    )
