"""Binding weights: no copy, bit for bit, clear errors; symmetries applied to them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import graphs


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def test_bind_copies_nothing(net: nn.Module) -> None:
    graph = graphs.trace(net, torch.zeros(2, 3)).bind(net.state_dict())
    assert graph.state_dict()["0.weight"].data_ptr() == net[0].weight.data_ptr()


def test_flat_is_the_floating_entries_in_order_with_buffers(net: nn.Module) -> None:
    topology = graphs.trace(net, torch.zeros(2, 3))
    graph = topology.bind(net.state_dict())
    floating = [v.reshape(-1) for v in net.state_dict().values() if v.is_floating_point()]
    assert torch.equal(graph.flat(), torch.cat(floating))
    assert [e.name for e in topology.entries if e.is_buffer] == [
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
    ]
    assert graph.other["1.num_batches_tracked"].dtype == torch.int64


def test_half_precision_ties_and_odd_strides_return_bit_for_bit() -> None:
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 4, bias=False))
    net[2].weight = net[0].weight
    net = net.to(torch.bfloat16)
    net[0].weight.data = torch.randn(4, 4, dtype=torch.bfloat16).t()
    topology = graphs.trace(net, torch.zeros(1, 4, dtype=torch.bfloat16))
    assert topology.num_parameters == 16
    graph = topology.bind(net.state_dict())
    again = topology.bind_flat(graph.flat()).state_dict()
    for name, tensor in net.state_dict().items():
        assert graph.state_dict()[name] is tensor or torch.equal(graph.state_dict()[name], tensor)
        assert torch.equal(again[name], tensor)
        assert again[name].dtype == torch.bfloat16


def test_rows_of_a_store_are_views(net: nn.Module) -> None:
    """A flat vector inside a larger storage, rows or columns, is read where it lies."""
    topology = graphs.trace(net, torch.zeros(2, 3))
    table = torch.randn(3, topology.num_parameters)
    for flat in (table[1], table.T.contiguous().T[1]):
        graph = topology.bind_flat(flat)
        for block in topology.blocks:
            entry = topology.entries[block.parameter]
            assert torch.equal(graph.values(block).reshape(-1), flat[entry.offset : entry.offset + entry.numel])


def test_weights_of_another_architecture_are_refused(net: nn.Module) -> None:
    topology = graphs.trace(net, torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"missing entries \['0.bias'"):
        topology.bind({"0.weight": torch.zeros(4, 3)})
    wrong = {**net.state_dict(), "0.weight": torch.zeros(4, 7)}
    with pytest.raises(ValueError, match=r"'0.weight': expected shape \(4, 3\), got \(4, 7\)"):
        topology.bind(wrong)
    with pytest.raises(ValueError, match="expected 42 weights"):
        topology.bind_flat(torch.zeros(5))
    flat = topology.bind(net.state_dict()).flat()
    with pytest.raises(ValueError, match="num_batches_tracked"):
        topology.bind_flat(flat).state_dict()


def test_apply_moves_weights_and_keeps_the_function(net: nn.Module) -> None:
    net = net.double().eval()
    topology = graphs.trace(net, torch.zeros(2, 3, dtype=torch.float64))
    graph = topology.bind(net.state_dict())
    symmetry = topology.random_symmetry(torch.Generator().manual_seed(3))
    moved = graph.apply(symmetry)
    assert not torch.equal(moved.flat(), graph.flat())
    x = torch.randn(5, 3, dtype=torch.float64)
    after = torch.func.functional_call(net, moved.state_dict(), (x,))
    assert torch.allclose(after, net(x), atol=1e-14)


def test_symmetries_of_another_topology_are_refused(net: nn.Module) -> None:
    other = graphs.trace(nn.Linear(2, 2), torch.zeros(1, 2))
    graph = graphs.trace(net, torch.zeros(2, 3)).bind(net.state_dict())
    with pytest.raises(ValueError, match=other.digest[:12]):
        graph.apply(other.random_symmetry())


def test_scale_symmetries_are_not_promised(net: nn.Module) -> None:
    with pytest.raises(ValueError, match="scale=False"):
        graphs.trace(net, torch.zeros(2, 3)).random_symmetry(scale=True)


def test_untraceable_modules_say_why() -> None:
    with pytest.raises(graphs.UntraceableError, match=r"failed in '0' at the operation addmm .*shapes cannot be multi"):
        graphs.trace(nn.Sequential(nn.Linear(3, 2)), torch.zeros(1, 4))
    module = nn.Linear(2, 2)
    module.forward = lambda x: "text"  # type: ignore[method-assign]
    with pytest.raises(graphs.UntraceableError, match="returned str"):
        graphs.trace(module, torch.zeros(1, 2))


def test_outputs_must_depend_on_inputs() -> None:
    class Numpy(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(super().forward(x).detach().numpy()[:, ::-1].copy())

    with pytest.raises(graphs.UntraceableError, match=r"no output depends on the inputs .* \(no numpy\)"):
        graphs.trace(Numpy(2, 3), torch.zeros(1, 2))


def test_pyg_data_has_an_edge_type_a_kernel_shape() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 3, 1), nn.Flatten(), nn.Linear(12, 2))
    topology = graphs.trace(net, torch.zeros(1, 1, 4, 4))
    data = topology.bind(net.state_dict()).to_data()
    assert {t[1]: tuple(data[t].edge_attr.shape) for t in data.edge_types} == {
        "flat_4": (6, 4),
        "kernel_3x3": (2, 9),
        "none": (6, 1),
    }
    assert data["neuron"].num_nodes == 1 + 2 + 3 + 2
