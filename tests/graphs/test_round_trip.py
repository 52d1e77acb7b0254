"""Weights come back bit for bit from a graph, from its flat vector and from PyG data, whatever entries a module has."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import graphs

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}


class Odd(nn.Module):
    """A perceptron in any precision, with whatever else a state_dict may hold beside it."""

    def __init__(self, width: int, dtype: str, extras: list[str], tied: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, width, dtype=DTYPES[dtype]), nn.Linear(width, 2, dtype=DTYPES[dtype])
        if tied:
            self.again = self.a
        for i, extra in enumerate(extras):
            value = EXTRAS[extra]()
            if isinstance(value, nn.Parameter):
                self.register_parameter(f"extra{i}", value)
            else:
                self.register_buffer(f"extra{i}", value)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x)))


EXTRAS = {
    "scalar": lambda: nn.Parameter(torch.tensor(1.5)),
    "unused": lambda: nn.Parameter(torch.randn(2, 3)),
    "empty": lambda: nn.Parameter(torch.zeros(0, 4)),
    "transposed": lambda: nn.Parameter(torch.randn(4, 2).T),
    "strided": lambda: nn.Parameter(torch.randn(8)[::2]),
    "channels last": lambda: nn.Parameter(torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)),
    "half": lambda: nn.Parameter(torch.randn(3).half()),
    "special": lambda: nn.Parameter(torch.tensor([torch.nan, torch.inf, -torch.inf, -0.0, 1e-45])),
    "integer": lambda: torch.tensor([2**62, -1]),
    "bool": lambda: torch.tensor([True, False]),
    "complex": lambda: nn.Parameter(torch.randn(2, dtype=torch.complex64)),
    "counter": lambda: torch.tensor(7),
}


def same_bits(a: Tensor, b: Tensor) -> bool:
    def bits(t: Tensor) -> Tensor:
        return t.detach().contiguous().reshape(-1).view(torch.uint8)

    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(bits(a), bits(b))


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    assert [k for k, v in expected.items() if not same_bits(found[k], v)] == []


modules = st.builds(
    Odd,
    st.integers(1, 4),
    st.sampled_from(sorted(DTYPES)),
    st.lists(st.sampled_from(sorted(EXTRAS)), max_size=4),
    st.booleans(),
)


@given(modules)
@settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True, max_examples=40)
def test_every_entry_comes_back(module: Odd) -> None:
    state = module.state_dict()
    topology = graphs.trace(module, torch.zeros(2, 3, dtype=module.a.weight.dtype))
    graph = topology.bind(state)
    assert_same(graph.state_dict(), state)
    assert_same(topology.bind_flat(graph.flat(), graph.other).state_dict(), state)
    assert_same(graphs.ParameterGraph.from_data(graph.to_data(), topology).state_dict(), state)
    module.load_state_dict(graph.state_dict())


@given(modules, st.integers(0, 3))
@settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True, max_examples=20)
def test_moved_weights_are_the_same_numbers_in_another_order(module: Odd, seed: int) -> None:
    """Entries keep their dtype; what no symmetry moves stays bit for bit, and what moves is rearranged."""
    state = module.state_dict()
    graph = graphs.trace(module, torch.zeros(2, 3, dtype=module.a.weight.dtype)).bind(state)
    moved = graph.apply(graph.topology.random_symmetry(torch.Generator().manual_seed(seed))).state_dict()
    order = [int((moved["a.bias"] == v).nonzero()[0, 0]) for v in state["a.bias"]]
    for name, tensor in state.items():
        expected = tensor.clone()
        if name in ("a.weight", "a.bias", "again.weight", "again.bias"):
            expected[order] = tensor
        if name == "b.weight":
            expected[:, order] = tensor
        assert same_bits(moved[name], expected), name


def test_tied_parameters_are_one() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    net = nn.Sequential(first, nn.Tanh(), second)
    graph = graphs.trace(net, torch.zeros(2, 3)).bind(net.state_dict())
    assert [e.tied_to for e in graph.topology.entries] == [None, None, "0.weight", None]
    assert_same(graph.topology.bind_flat(graph.flat()).state_dict(), net.state_dict())
