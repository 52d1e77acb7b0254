"""NG-GNN is the published model: its parameters, its encoder of kernels, its limits."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

import graphs
from graphs import collate
from graphs.kernels import BlockTable
from metanets.encoders import TapEncoder
from metanets.fourier import FourierLinear
from metanets.registry import create


def inr(*sizes: int) -> nn.Module:
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*layers[:-1])


def graph(module: nn.Module, *shape: int) -> graphs.ParameterGraph:
    return graphs.trace(module, torch.zeros(1, *shape)).bind(module.state_dict())


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_default_has_the_published_number_of_parameters() -> None:
    model = create("ng-gnn", out=10)
    parts = {
        "positions": count(model.encoder.positions),
        "encoders": count(model.encoder.weights) + count(model.encoder.biases),
        "projections": count(model.encoder.project_nodes) + count(model.encoder.project_edges),
        "convolutions": count(model.convolutions),
        "norms": count(model.norms),
        "edge updates": count(model.edge_updates),
        "readout": count(model.head),
    }
    assert list(parts.values()) == [160, 16448, 2112, 57984, 192, 12672, 2442]
    assert count(model) == 92010
    assert model(collate([graph(inr(2, 32, 32, 1), 2)])).shape == (1, 10)


def published(convolution: nn.Module, x: torch.Tensor, edges: torch.Tensor, table: BlockTable) -> torch.Tensor:
    """The convolution written out edge by edge."""
    found = []
    for node in range(len(x)):
        into = (table.target() == node).nonzero()[:, 0].tolist()
        messages = []
        for edge in into:
            scale, shift = convolution.edge(edges[edge]).chunk(2)
            messages.append(scale * convolution.pre(torch.cat([x[node], x[table.source()[edge]]])) + shift)
        m = torch.stack(messages) if into else torch.zeros(1, 32, dtype=x.dtype)
        std = (m.var(0, unbiased=False) + 1e-5).sqrt()
        aggregated = torch.cat([m.mean(0), m.min(0).values, m.max(0).values, std])
        amplified = aggregated * math.log(len(into) + 1) / convolution.log_degree
        found.append(convolution.last(convolution.post(torch.cat([x[node], aggregated, amplified]))))
    return torch.stack(found)


def test_messages_and_edge_updates_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    model, batch = create("ng-gnn", layers=1).double(), collate([graph(inr(2, 4, 1), 2)]).to(torch.float64)
    x, e = model.encoder(batch)
    first, second, update = model.convolutions[0], model.convolutions[1], model.edge_updates[0]
    project, table = model.encoder.project_edges, batch.table
    edges = project(e)
    assert torch.allclose(first(x, e, project, table), published(first, x, edges, table), atol=1e-12)
    hidden = update.edge(edges) + update.source(x)[table.source()] + update.target(x)[table.target()]
    updated, nodes = second.after(update, x, e, project, table)
    assert torch.allclose(updated, nn.functional.silu(hidden), atol=1e-12)
    assert torch.allclose(nodes, published(second, x, update.last(updated), table), atol=1e-12)


def test_a_small_kernel_is_a_large_one_padded_with_zeros() -> None:
    encoder = TapEncoder((5, 5), 8, features=6).double()
    kernels = torch.randn(4, 3, 3, dtype=torch.float64)
    padded = nn.functional.pad(kernels, (1, 1, 1, 1))
    assert torch.allclose(encoder(kernels.flatten(1), (3, 3)), encoder(padded.flatten(1), (5, 5)), atol=1e-13)
    centre = torch.zeros(4, 5, 5, dtype=torch.float64)
    centre[:, 2, 2] = kernels[:, 0, 0]
    assert torch.allclose(encoder(kernels[:, :1, 0]), encoder(centre.flatten(1), (5, 5)), atol=1e-13)


def test_fourier_features_and_their_gradients() -> None:
    layer = FourierLinear(3, 5, features=7).double()
    values = torch.randn(1030, 2, dtype=torch.float64, requires_grad=True)
    columns = torch.tensor([2, 0])
    angle = 2 * math.pi * values @ layer.frequencies[:, columns].T
    expected = layer.linear(torch.cat([angle.cos(), angle.sin()], dim=1))
    out, seed = layer(values, columns), torch.randn(1030, 5, dtype=torch.float64)
    assert torch.allclose(out, expected, atol=1e-12)
    wanted = [values, layer.linear.weight, layer.linear.bias]
    for ours, theirs in zip(
        torch.autograd.grad(out, wanted, seed), torch.autograd.grad(expected, wanted, seed), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-10)
    assert layer(values[:0], columns).shape == (0, 5)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (inr(3, 4, 1), (3,), r"inputs <= 2, got one that needs 3; create the model with inputs=3 or more"),
        (inr(2, 4, 4, 4, 1), (2,), r"layers <= 2, got one that needs 3; create the model with layers=3"),
        (inr(2, 4, 4), (2,), r"outputs <= 1, got one that needs 4"),
        (
            nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 1)),
            (2, 3, 3),
            r"at most \(\), got one of \(3, 3\)",
        ),
        (
            nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4), nn.Linear(4, 1)),
            (2,),
            r"create it with node_parameters=\['norm_",
        ),
        (
            nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 1)),
            (1, 2, 2),
            r"create it with flat_taps=4 or more",
        ),
    ],
)
def test_a_network_beyond_the_configuration_is_refused(module: nn.Module, shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create("ng-gnn")(collate([graph(module, *shape)]))


def test_concatenated_outputs_need_equal_networks() -> None:
    model = create("ng-gnn", outputs=2)
    with pytest.raises(
        ValueError, match=r"expected networks of 2 outputs, network 1 of the batch has 1; create .*nodes"
    ):
        model(collate([graph(inr(2, 4, 2), 2), graph(inr(2, 4, 1), 2)]))
    with pytest.raises(ValueError, match=r"unknown part 'last' of readout 'last'; join any of outputs, nodes, edges"):
        create("ng-gnn", readout="last")
    with pytest.raises(ValueError, match=r"unknown node parameter 'gamma'; choose among bias, norm_weight, "):
        create("ng-gnn", node_parameters=["gamma"])
