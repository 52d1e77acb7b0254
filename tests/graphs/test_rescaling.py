"""Weights moved by scale and sign symmetries: same function, same dtype, signs exact; scales in files."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

import graphs
from graphs import Topology, with_scales

VECTOR = torch.zeros(2, 3)


def scaled_mlp() -> tuple[nn.Module, Topology]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    return net, with_scales(graphs.trace(net, VECTOR.double()), net, VECTOR.double())


def test_apply_is_the_same_function_with_other_weights() -> None:
    net, topology = scaled_mlp()
    symmetry = topology.random_symmetry(torch.Generator().manual_seed(0), scale=True)
    x = torch.randn(9, 3, dtype=torch.float64)
    state = net.state_dict()
    flat = topology.layout.flatten(state)
    before = flat.clone()
    for graph in (topology.bind(state), topology.bind_flat(flat), topology.bind_flat(torch.stack([flat] * 2, 1)[:, 0])):
        moved = copy.deepcopy(net)
        moved.load_state_dict(graph.apply(symmetry).state_dict())
        assert (moved(x) - net(x)).abs().max() < 1e-13
        # Rows are longer or shorter, not only elsewhere; a sign keeps the size bit for bit.
        norms = [m.weight.norm(dim=1).sort().values for m in (net[0], moved[0])]
        assert (norms[0] - norms[1]).abs().min() > 1e-6
        assert torch.equal(net[2].bias.abs().sort().values, moved[2].bias.abs().sort().values)
        assert not torch.equal(net[2].bias.sort().values, moved[2].bias.sort().values)
    assert torch.equal(flat, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_dtypes_are_kept(dtype: torch.dtype) -> None:
    net, topology = scaled_mlp()
    state = {name: t.to(dtype) for name, t in net.state_dict().items()}
    symmetry = topology.random_symmetry(torch.Generator().manual_seed(0), scale=True)
    moved = topology.bind(state).apply(symmetry).state_dict()
    exact = topology.bind({n: t.double() for n, t in state.items()}).apply(symmetry).state_dict()
    assert {t.dtype for t in moved.values()} == {dtype}
    for name, tensor in moved.items():
        torch.testing.assert_close(tensor, exact[name].to(dtype), rtol=torch.finfo(dtype).eps, atol=0)


def test_scales_are_kept_beside_the_structure() -> None:
    net, topology = scaled_mlp()
    plain = graphs.trace(net, VECTOR.double())
    assert plain.scales is None
    assert topology.scales
    assert topology.digest == plain.digest
    assert Topology.from_json(topology.to_json()).scales == topology.scales
    older = {key: value for key, value in json.loads(topology.to_json()).items() if key != "scales"}
    assert Topology.from_json(json.dumps(older)).scales is None
    symmetry = topology.random_symmetry(torch.Generator().manual_seed(0), scale=True)
    assert plain.bind(net.state_dict()).apply(symmetry).topology == topology


def test_scales_must_be_searched_first() -> None:
    topology = graphs.trace(nn.Linear(3, 2), VECTOR)
    with pytest.raises(ValueError, match=r"use graphs\.with_scales\(topology, module, \*inputs\)"):
        topology.random_symmetry(scale=True)
    assert topology.random_symmetry().factors == ()
