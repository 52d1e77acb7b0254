"""Classes on whole arrays are what uniting one pair after the other gives, and a pass forgets its activations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

import graphs
from graphs.labelling.classes import NeuronClasses


class OneByOne:
    """Sets of ids, each with the axes that it has slots of."""

    def __init__(self) -> None:
        self.members: list[set[int]] = []
        self.axes: list[set[int]] = []

    def new(self, count: int, axis: int) -> None:
        self.members += [{len(self.members) + i} for i in range(count)]
        self.axes += [{axis} for _ in range(count)]

    def unite(self, pairs: list[tuple[int, int]]) -> bool:
        members, axes = list(self.members), list(self.axes)
        for x, y in pairs:
            if members[x] is members[y]:
                continue
            if axes[x] & axes[y]:
                return False
            whole, both = members[x] | members[y], axes[x] | axes[y]
            for i in whole:
                members[i], axes[i] = whole, both
        self.members, self.axes = members, axes
        return True


@pytest.mark.parametrize("seed", range(20))
def test_united_at_once_or_in_turn(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int, count: int) -> Tensor:
        return torch.randint(high, (count,), generator=generator)

    classes, expected = NeuronClasses(), OneByOne()
    for axis in range(6):
        classes.new(8, (axis, 0))
        expected.new(8, axis)
    refused = 0
    for _ in range(60):
        # Whole axes in step, as in a network, or any ids.
        a, b = 8 * int(draw(6, 1)), 8 * int(draw(6, 1))
        shift = int(draw(2, 1))
        x, y = (torch.arange(a, a + 8), b + (torch.arange(8) + shift) % 8) if draw(2, 1) else (draw(48, 3), draw(48, 3))
        done = classes.unite(x, y)
        assert done == expected.unite(list(zip(x.tolist(), y.tolist(), strict=True)))
        refused += not done
    roots = classes.roots(torch.arange(48)).tolist()
    assert [min(m) for m in expected.members] == roots
    assert [{axis for axis, _ in classes.axes(i)} for i in range(48)] == expected.axes
    assert 0 < refused < 60


def test_a_pass_keeps_no_activations() -> None:
    """Memory grows with the parameters, not with the probe."""
    seen: list[StorageWeakRef] = []

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(StorageWeakRef(x.untyped_storage()))
            return x.tanh()

    module = nn.Sequential(*(layer for _ in range(4) for layer in (nn.Linear(4, 4), Watched())))
    graphs.trace(module, torch.randn(2, 4))
    assert all(storage.expired() for storage in seen)
    alive: list[int] = []
    module[6].register_forward_hook(lambda *_: alive.append(sum(not s.expired() for s in seen)))
    seen.clear()
    graphs.trace(module, torch.randn(2, 4))
    assert alive[0] <= 1
