"""The flat MLP: padding, standardisation, limits."""

import pytest
import torch
from torch import nn

import graphs
from graphs import ParameterGraph, collate
from metanets.registry import create


def network(width: int, seed: int) -> ParameterGraph:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 1))
    return graphs.trace(module, torch.zeros(1, 2)).bind(module.state_dict())


def test_standardises_each_entry_over_the_networks_that_have_it() -> None:
    nets = [network(width, seed) for seed in range(4) for width in (3, 5)]
    model = create("flat-mlp", max_parameters=30)
    model.calibrate(nets)
    flat = torch.stack([g.flat() for g in nets if len(g.flat()) == 21])
    assert torch.allclose(model.mean[13:21], flat[:, 13:].mean(0), atol=1e-6)
    assert torch.allclose(model.std[13:21], flat[:, 13:].std(0, unbiased=False), atol=1e-6)
    assert model.mean[21:].eq(0).all()
    assert model.std[21:].eq(1).all()


def test_reads_every_weight_and_each_network_by_itself() -> None:
    model, nets = create("flat-mlp", out=2, max_parameters=30).eval(), [network(3, 0), network(5, 1)]
    out = model(collate(nets))
    assert out.shape == (2, 2)
    assert torch.allclose(out[1:], model(collate(nets[1:])), atol=1e-6)
    flat = nets[1].flat().clone().requires_grad_()
    model(collate([nets[1].topology.bind_flat(flat)])).sum().backward()
    assert flat.grad is not None
    assert flat.grad.ne(0).all()


def test_a_larger_network_is_refused_unless_truncation_is_asked_for() -> None:
    graph = network(5, 0)
    with pytest.raises(ValueError, match=r"at most 20 weights, got one of 21; create the model with max_parameters=21"):
        create("flat-mlp", max_parameters=20)(collate([graph]))
    assert create("flat-mlp", max_parameters=20, truncate=True)(collate([graph])).shape == (1, 1)
