"""Sums over some combinations of neurons only: diagonals, triangles, parts, and positions among them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from nets import Net, table
from torch import Tensor, nn

import graphs
from graphs.labelling import labels

X4, X54 = torch.randn(3, 4), torch.randn(2, 5, 4)


def pairs(net: Net, x: Tensor) -> Tensor:
    """Every neuron of one layer times every neuron of another."""
    return net.a(x)[:, :, None] * net.c(x)[:, None, :]


def read_sum(values: Tensor, net: Net) -> Tensor:
    return net.b(values.flatten(1).sum(-1, keepdim=True))


def triangle(net: Net, x: Tensor) -> Tensor:
    rows, columns = torch.triu_indices(5, 5)
    return read_sum(pairs(net, x)[:, rows, columns], net)


def some_pairs_twice(net: Net, x: Tensor) -> Tensor:
    every = pairs(net, x).flatten(1)
    return read_sum(torch.cat([every, every[:, :7]], 1), net)


def latin_square(net: Net, x: Tensor) -> Tensor:
    """Of three layers, any two of which meet in every combination."""
    i, j = torch.arange(25) // 5, torch.arange(25) % 5
    return read_sum(net.a(x)[:, i] * net.c(x)[:, j] * net.d(x)[:, (i + j) % 5], net)


def diagonal(net: Net, x: Tensor) -> Tensor:
    """Neuron i at position i."""
    return read_sum(net.a(x).diagonal(dim1=1, dim2=2), net)


def largest_on_diagonal(net: Net, x: Tensor) -> Tensor:
    return net.b(net.a(x)[:, torch.arange(5), torch.arange(5)].amax(-1, keepdim=True))


def every_pair(net: Net, x: Tensor) -> Tensor:
    return read_sum(pairs(net, x), net)


def every_position(net: Net, x: Tensor) -> Tensor:
    return read_sum(net.a(x), net)


def softmax_over_experts(net: Net, x: Tensor) -> Tensor:
    return torch.bmm(torch.bmm(x.expand(3, -1, -1), net.w).softmax(0), net.u).sum(0)


def shifted_head(net: Net, x: Tensor) -> Tensor:
    """One head is read at other positions: of a neuron they are known in every row, not in all rows together."""
    heads = net.a(x).view(2, 5, 2, 4)
    moved = torch.empty_like(heads)
    moved[:, :3] = heads[:, :3]
    moved[:, 3:, 0] = heads[:, 3:, 0]
    moved[:, 3:, 1] = heads[:, :2, 1]
    return net.b(moved.reshape(10, 8))


def layers(*names: str) -> dict[str, nn.Module]:
    return {"b": nn.Linear(1, 2), **{name: nn.Linear(4, 5) for name in names}}


CASES: dict[Callable, tuple[nn.Module, Tensor]] = {
    triangle: (Net(triangle, **layers("a", "c")), X4),
    some_pairs_twice: (Net(some_pairs_twice, **layers("a", "c")), X4),
    latin_square: (Net(latin_square, **layers("a", "c", "d")), X4),
    diagonal: (Net(diagonal, **layers("a")), X54),
    largest_on_diagonal: (Net(largest_on_diagonal, **layers("a")), X54),
    softmax_over_experts: (Net(softmax_over_experts, w=table(3, 4, 6), u=table(3, 6, 2)), X4),
}


@pytest.mark.parametrize("forward", CASES, ids=lambda f: f.__name__)
def test_certified(forward: Callable) -> None:
    module, x = CASES[forward]
    assert graphs.certify(module, x, trials=4).max_error < 1e-12


@pytest.mark.parametrize("forward", [latin_square, diagonal, largest_on_diagonal], ids=lambda f: f.__name__)
def test_refuted_where_each_axis_is_summed_by_itself(forward: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "tangled", lambda *_: frozenset())
    module, x = CASES[forward]
    assert graphs.certify(module, x, trials=4).max_error > 1e-3


def test_neurons_whose_positions_differ_by_row_permute_within_their_head() -> None:
    net = Net(shifted_head, a=nn.Linear(4, 8), b=nn.Linear(8, 2))
    certificate = graphs.certify(net, X54, trials=4)
    assert certificate.max_error < 1e-12
    assert round(10**certificate.log10_group_order) == 24**2


@pytest.mark.parametrize(
    ("forward", "names", "x", "order"), [(every_pair, "ac", X4, 120**2), (every_position, "a", X54, 120)]
)
def test_complete_sums_keep_every_symmetry(forward: Callable, names: str, x: Tensor, order: int) -> None:
    certificate = graphs.certify(Net(forward, **layers(*names)), x, trials=4)
    assert certificate.max_error < 1e-12
    assert round(10**certificate.log10_group_order) == order
