"""Moving weights use by use is what the definition of a symmetry says, element by element."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

import graphs
from graphs import Recipe, Topology
from graphs.symmetries import Symmetry


class Parts(nn.Module):
    """A use of several boxes: two maps concatenated, the second one flipped."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 3), nn.Linear(4, 5), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.cat([self.b(x).flip(-1), self.a(x)], -1).relu())


class Tied(nn.Module):
    """One parameter used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.w.T).tanh() @ self.w


IMAGE = (torch.randn(2, 3, 6, 6),)
CASES = {
    "parts": (Parts(), (torch.randn(3, 4),)),
    "tied": (Tied(), (torch.randn(3, 4),)),
    "depthwise": (nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 2, 2)), IMAGE),
    "grouped": (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 12, 3, groups=4), nn.Conv2d(12, 2, 1)), IMAGE),
    "flattened": (nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(80, 2)), IMAGE),
    "attention": (Recipe("vit").build(), Recipe("vit").example_input(2)),
    "embedding": (Recipe("gpt").build(), Recipe("gpt").example_input(2)),
}


def defined(topology: Topology, symmetry: Symmetry) -> dict[int, int]:
    """Where each element that a use holds goes, by the definition: entries move with their neurons, taps stay."""
    images = [symmetry.site_image(s) for s in range(len(topology.sites))]
    names: dict[tuple, int] = {}
    for block in topology.blocks:
        axes = block.axes
        for index in product(*(range(a.size) for a in axes)) if (block.source, block.target) != (None, None) else ():
            steps = list(zip(index, axes, strict=True))
            source = block.first_source + sum(i * a.source for i, a in steps)
            target = block.first_target + sum(i * a.target for i, a in steps)
            tap = tuple(i for i, a in steps if a.is_tap)
            offset = block.offset + sum(i * a.stride for i, a in steps)
            names[block.parameter, block.source, block.target, source, target, tap] = offset
    return {
        offset: names[
            p,
            s,
            t,
            source if s is None else int(images[s][source]),
            target if t is None else int(images[t][target]),
            tap,
        ]
        for (p, s, t, source, target, tap), offset in names.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_moved_as_defined(name: str) -> None:
    module, inputs = CASES[name]
    topology = graphs.trace(module, *inputs)
    symmetry = topology.random_symmetry(torch.Generator().manual_seed(1))
    expected = torch.arange(topology.num_parameters)
    for old, new in defined(topology, symmetry).items():
        expected[new] = old
    assert not torch.equal(expected, torch.arange(topology.num_parameters))
    assert torch.equal(symmetry.apply(torch.arange(topology.num_parameters)), expected)
    assert torch.equal(expected[torch.from_numpy(symmetry.destination())], torch.arange(topology.num_parameters))


def test_weights_that_are_no_numbers_move_too() -> None:
    """NaN in a parameter of two uses, a row of a zoo with a stride, and the input stays as it is."""
    module, inputs = CASES["tied"]
    topology = graphs.trace(module, *inputs)
    symmetry = topology.random_symmetry(torch.Generator().manual_seed(1))
    rows = torch.full((topology.num_parameters, 3), torch.nan, dtype=torch.bfloat16)
    graph = topology.bind_flat(rows[:, 1])
    assert graph.apply(symmetry).flat().isnan().all()
    state = module.state_dict()
    before = {name: tensor.clone() for name, tensor in state.items()}
    moved = topology.bind(state).apply(symmetry).state_dict()
    assert all(torch.equal(state[name], before[name]) for name in state)
    assert any(not torch.equal(state[name], moved[name]) for name in state)
