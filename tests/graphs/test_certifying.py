"""Inputs and outputs of every form are traced and certified."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

import graphs
from graphs.certifying.comparing import difference


class Net(nn.Module):
    """A layer before and one after a free choice of inputs and outputs."""

    def __init__(self, take: Callable[..., Tensor], give: Callable[[Tensor], Any] = lambda y: y) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)
        self.take, self.give = take, give

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.give(self.b(torch.tanh(self.a(self.take(*args, **kwargs)))))


class Cache:
    """An object of no known type that holds tensors in its attributes, and itself."""

    def __init__(self, *layers: Tensor) -> None:
        self.layers, self.length, self.me = list(layers), 3, self


@dataclass(frozen=True)
class Output:
    logits: Tensor
    loss: Tensor | None = None


Pair = namedtuple("Pair", "first second")
X = torch.randn(3, 4)
EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])
INPUTS: dict[str, tuple[Callable[..., Tensor], tuple, dict[str, Any]]] = {
    "keyword": (lambda x, scale: x * scale, (X,), {"scale": X}),
    "keywords only": (lambda x, mask=None: x, (), {"x": X, "mask": None}),
    "dict": (lambda batch: batch["x"] + batch["more"][0], ({"x": X, "more": [X]},), {}),
    "ordered dict": (lambda batch: batch["x"], (OrderedDict(x=X),), {}),
    "named tuple": (lambda pair: pair.first + pair.second, (Pair(X, X),), {}),
    "object": (lambda cache: cache.layers[0] + cache.layers[1], (Cache(X, X + 1),), {}),
    "dataclass": (lambda output: output.logits, (Output(X),), {}),
    "graph": (lambda g: g.x + g.x[g.edge_index[0]], (Data(x=X, edge_index=EDGES),), {}),
    "batch of graphs": (lambda g: g.x, (Batch.from_data_list([Data(x=X, edge_index=EDGES)] * 2),), {}),
    "number and text": (lambda x, factor, mode: x * factor, (X, 2.0, "sum"), {}),
}
OUTPUTS: dict[str, Callable[[Tensor], Any]] = {
    "tuple with None": lambda y: (None, y),
    "dict": lambda y: {"logits": y, "nested": [{"more": y * 2}]},
    "dataclass": lambda y: Output(y),
    "object": lambda y: Cache(y),
    "set of one": lambda y: {y},
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_of_every_form(name: str) -> None:
    take, args, kwargs = INPUTS[name]
    net = Net(take)
    certificate = graphs.certify(net, *args, kwargs=kwargs)
    assert certificate.max_error < 1e-12
    assert 10**certificate.log10_group_order == pytest.approx(720)
    assert graphs.trace(net, *args, **kwargs).log10_group_order == certificate.log10_group_order


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_of_every_form(name: str) -> None:
    """Their neurons are pinned: two outputs and six hidden neurons."""
    net = Net(lambda x: x, OUTPUTS[name])
    certificate = graphs.certify(net, X)
    assert certificate.max_error < 1e-12
    assert 10**certificate.log10_group_order == pytest.approx(720)


def test_inputs_are_left_as_they_were() -> None:
    cache = Cache(X.clone())
    graphs.trace(Net(lambda c: c.layers[0].add_(1)), cache)
    assert torch.equal(cache.layers[0], X)


@pytest.mark.parametrize("call", [(X + 1, X), {"x": X, "scale": X + 1}, ((X + 1,), {"scale": X})])
def test_further_inputs(call: Any) -> None:
    certificate = graphs.certify(Net(lambda x, scale: x * scale), X, X, inputs=[call])
    assert certificate.max_error < 1e-12


def test_further_inputs_of_no_known_form() -> None:
    with pytest.raises(ValueError, match=r"inputs\[1\]: expected a tuple .* got Tensor; write \(x,\)"):
        graphs.certify(Net(lambda x: x), X, inputs=[(X,), X])


# ---- paths through the network


def chosen_by_data(net: Net, x: Tensor) -> Tensor:
    """Which way the network goes depends on the first input element."""
    h = net.a(x)
    return net.b(torch.tanh(h) if x[0, 0] > 0 else torch.relu(h) * 2)


def as_long_as_it_takes(net: Net, x: Tensor) -> Tensor:
    h = net.a(x)
    for _ in range(len(x)):
        h = torch.tanh(h)
    return net.b(h)


class Branching(Net):
    def __init__(self, forward: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__(lambda x: x)
        self.function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


UP, DOWN = X.abs() + 1, -X.abs() - 1


def test_inputs_that_take_the_traced_path() -> None:
    certificate = graphs.certify(Branching(chosen_by_data), UP, inputs=[(UP + 1,), (UP + 2,)])
    assert (certificate.paths, certificate.branches) == (1, ())
    assert "path" not in str(certificate)


def test_an_input_that_takes_another_path_is_compared_and_said() -> None:
    """The conversion holds there too: still passed, with the place where the paths part."""
    certificate = graphs.certify(Branching(chosen_by_data), UP, inputs=[(UP,), (DOWN,)])
    assert certificate.passed
    assert certificate.paths == 2
    assert certificate.branches == ("input 1 runs relu in the network, the traced one tanh in the network",)
    assert "2 paths through the network" in str(certificate)


def test_a_symmetry_of_the_traced_path_alone_is_refuted_by_the_other() -> None:
    def one_neuron(net: Net, x: Tensor) -> Tensor:
        h = torch.tanh(net.a(x))
        return net.b(h) if x[0, 0] > 0 else net.b(h) + h[:, :1]

    assert graphs.certify(Branching(one_neuron), UP, inputs=[(UP,)]).passed
    certificate = graphs.certify(Branching(one_neuron), UP, inputs=[(UP,), (DOWN,)], trials=5)
    assert not certificate.passed
    assert certificate.branches[0].startswith("input 1 goes on to slice in the network")


def test_what_was_traced_is_compared_where_no_input_takes_its_path() -> None:
    def wrong_on_the_traced_path(net: Net, x: Tensor) -> Tensor:
        return net.b(torch.tanh(net.a(x))) if x[0, 0] > 0 else net.b(torch.relu(net.a(x)))

    certificate = graphs.certify(Branching(wrong_on_the_traced_path), UP, inputs=[(DOWN,)])
    assert (certificate.paths, certificate.passed) == (2, True)


def test_loops_of_another_length_are_another_path() -> None:
    certificate = graphs.certify(Branching(as_long_as_it_takes), X, inputs=[(X[:2],), (torch.cat([X, X]),)])
    assert certificate.passed
    assert certificate.paths == 3
    assert certificate.branches[0] == "input 0 runs t in b, the traced one tanh in the network"


# ---- what a certificate tells


def test_a_certificate_for_scripts() -> None:
    certificate = graphs.certify(Net(lambda x: x.cumsum(-1)), X)
    row = json.loads(certificate.to_json())
    assert row == certificate.to_dict() | {"branches": [], "random": []}
    assert (row["passed"], row["paths"]) == (True, 1)
    assert row["max_error"] < 1e-12


def test_pins_have_reasons() -> None:
    """Values that leave torch, and an operation that no rule covers."""

    def forward(net: Net, x: Tensor) -> Tensor:
        h = net.a(x)
        return net.b(h.tanh()) * h[0].tolist()[2] + torch.nonzero(h > 0).sum()

    certificate = graphs.certify(Branching(forward), X)
    reasons = certificate.to_dict()["reasons"]
    assert reasons["tolist in the network"] == "values go to Python, where they cannot be followed"
    assert str(certificate).count("neurons (") == len(certificate.pinned) == len(reasons)


def test_a_refuted_certificate_says_so() -> None:
    certificate = graphs.Certificate(math.inf, 0.5, 1.0, {})
    assert not certificate.passed
    assert str(certificate).startswith("FAILED: outputs differ by at most inf (tolerance 1e-09)")
    assert json.loads(certificate.to_json())["max_error"] is None


def test_coverage_counts_what_moves() -> None:
    """Neurons that something fixes one by one count as fixed (the first of six, used alone); output biases stay."""

    def forward(net: Net, x: Tensor) -> Tensor:
        h = net.a(x)
        return net.b(h.tanh()) + h[:, :1]

    whole, first = graphs.certify(Net(lambda x: x), X), graphs.certify(Branching(forward), X)
    assert whole.coverage == pytest.approx((24 + 6 + 12) / (24 + 6 + 12 + 2))
    assert first.coverage == pytest.approx((20 + 5 + 10) / (24 + 6 + 12 + 2))


def test_large_values_hide_no_difference():
    """A masked logit of -1e9 beside logits of ordinary size."""
    before = torch.tensor([-1e9, 0.5, 2.0, -1.0], dtype=torch.float64)
    assert difference(before, before + torch.tensor([1e-7, 0.0, 0.0, 0.0])) < 1e-15
    assert difference(before, before + torch.tensor([0.0, 0.5, 0.0, 0.0])) == 0.25
