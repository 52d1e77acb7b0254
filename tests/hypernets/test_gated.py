"""Compiled and level-batched messages against one node after the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from some_architectures import random_architecture
from torch import Tensor

from graphs.kernels.gated.cpu import CODE
from hypernets.ghn.architecture import Architecture, collate_architectures
from hypernets.ghn.gated import GatedPropagation
from hypernets.ghn.levels import topological_levels


def reference(model: GatedPropagation, x: Tensor, distance: Tensor) -> Tensor:
    """Equations 3 and 4 of GHN-2 as they are written: forward, then backward, a node at a time."""
    h = list(x)
    for reads, nodes in ((distance.T, range(len(x))), (distance, range(len(x) - 1, -1, -1))):
        for v in nodes:
            message = torch.zeros_like(h[v])
            for u in reads[v].nonzero().flatten().tolist():
                if reads[v, u] == 1:
                    message = message + model.edges(h[u])
                if model.paths is not None:
                    message = message + model.paths(h[u]) / reads[v, u]
            h[v] = model.gru(message[None], h[v][None])[0]
    return torch.stack(h)


@pytest.fixture(autouse=True, params=["cpu", "reference"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Node after node in compiled code, and level after level."""
    if request.param == "cpu" and (reason := CODE.why_not()):
        pytest.skip(reason)
    monkeypatch.setenv("METAZOO_KERNELS", request.param)


def propagated(model: GatedPropagation, x: Tensor, *architectures: Architecture) -> Tensor:
    return model(x, collate_architectures(architectures))


def gradients(output: Tensor, x: Tensor, model: GatedPropagation) -> list[Tensor]:
    weight = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return list(torch.autograd.grad((output * weight).sum(), [x, *model.parameters()], materialize_grads=True))


@pytest.mark.parametrize("virtual_edges", [True, False])
@pytest.mark.parametrize(("nodes", "chance"), [(1, 0.0), (5, 0.0), (2, 1.0), (9, 1.0), (17, 0.2), (30, 0.08)])
def test_equals_one_node_after_the_other(nodes: int, chance: float, virtual_edges: bool) -> None:
    torch.manual_seed(nodes)
    model = GatedPropagation(8, virtual_edges).double()
    architecture = random_architecture(nodes, chance, seed=nodes)
    x = torch.randn(nodes, 8, dtype=torch.float64, requires_grad=True)
    output, expected = propagated(model, x, architecture), reference(model, x, architecture.distance)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(gradients(output, x, model), gradients(expected, x, model), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    model = GatedPropagation(4, True).double()
    architecture = random_architecture(6, 0.5, seed=1)
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: propagated(model, x, architecture), (x,))


def test_architectures_of_a_batch_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    model = GatedPropagation(8, True).double()
    batch = [random_architecture(n, 0.3, seed=n) for n in (7, 1, 12)]
    parts = [torch.randn(a.num_nodes, 8, dtype=torch.float64) for a in batch]
    together = propagated(model, torch.cat(parts), *batch).split([len(p) for p in parts])
    for architecture, x, found in zip(batch, parts, together, strict=True):
        torch.testing.assert_close(found, propagated(model, x, architecture), rtol=1e-13, atol=1e-13)


def test_without_gradients_the_same_numbers_that_later_layers_may_learn_from() -> None:
    torch.manual_seed(0)
    model, architecture = GatedPropagation(8, True), random_architecture(9, 0.3, seed=1)
    x = torch.randn(9, 8)
    with torch.no_grad():
        output = propagated(model, x, architecture)
    assert torch.equal(output, propagated(model, x, architecture))
    weight = torch.ones(8, requires_grad=True)
    (output @ weight).sum().backward()
    torch.testing.assert_close(weight.grad, output.sum(0))


def test_levels_of_a_diamond() -> None:
    distance = torch.tensor([[0, 1, 1, 2, 1], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    assert topological_levels(distance).tolist() == [[0, 1, 1, 2, 1], [2, 1, 1, 0, 0]]


def test_nodes_out_of_order() -> None:
    with pytest.raises(ValueError, match=r"later nodes only, got \(1, 0\)"):
        topological_levels(torch.tensor([[0, 0], [1, 0]]))


def test_a_pass_over_nodes_out_of_order() -> None:
    architecture = replace(
        random_architecture(3, 1.0, seed=0), distance=torch.tensor([[0, 1, 0], [0, 0, 0], [1, 0, 0]])
    )
    with pytest.raises(ValueError, match="later nodes only"):
        propagated(GatedPropagation(8, True), torch.randn(3, 8), architecture)
