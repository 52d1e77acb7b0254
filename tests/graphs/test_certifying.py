"""Inputs and outputs of every form are traced and certified."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

import graphs


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
