"""Small networks for tests: a forward function over named parts, and what is asked of their symmetries and graphs."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import graphs


class Net(nn.Module):
    """A forward function over named parts."""

    def __init__(self, forward: Callable, **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(self, *inputs)


def table(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(0)))


def log10_factorials(*sizes: int) -> float:
    return sum(math.lgamma(n + 1) for n in sizes) / math.log(10)


def assert_group(module: nn.Module, inputs: tuple, *sizes: int, pinned: int = 0) -> graphs.Certificate:
    """The module is certified, and its group is the product of the symmetric groups of these sizes; ``pinned`` neurons
    are fixed for want of a rule."""
    certificate = graphs.certify(module, *inputs, trials=3)
    assert certificate.max_error < 1e-10
    assert certificate.log10_group_order == pytest.approx(log10_factorials(*sizes), abs=1e-9)
    assert sum(certificate.pinned.values()) == pinned, certificate.pinned
    return certificate


def without(adjacency: Tensor, kept: list[int]) -> Tensor:
    """Shortest paths between the kept nodes where each other node is bypassed."""
    adjacency = adjacency.clone()
    for i in set(range(len(adjacency))) - set(kept):
        adjacency |= adjacency[:, i, None] & adjacency[i]
    nodes = tuple(graphs.OpNode("op", "") for _ in kept)
    edges = tuple((int(a), int(b)) for a, b in adjacency[kept][:, kept].nonzero())
    return graphs.ComputationGraph(nodes, edges).shortest_paths()
