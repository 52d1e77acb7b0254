"""GraphBatch: mixed architectures side by side, edits written back, the networks run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import graphs
from graphs import ACTIVATIONS, EDGE_KINDS, KINDS, Recipe


def graph(module: nn.Module, x: torch.Tensor) -> graphs.ParameterGraph:
    return graphs.trace(module, x).bind(module.state_dict())


def mlp(hidden: int) -> graphs.ParameterGraph:
    return graph(nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, 1)), torch.zeros(1, 2))


def cnn() -> graphs.ParameterGraph:
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(8, 2))
    return graph(net, torch.zeros(1, 1, 4, 4))


def test_layout_of_a_mixed_batch() -> None:
    batch = graphs.collate([mlp(3), cnn(), mlp(2)])
    assert batch.ptr.tolist() == [0, 6, 14, 19]
    assert batch.batch.tolist() == [0] * 6 + [1] * 8 + [2] * 5
    assert batch.layer.tolist() == [*(0, 0, 1, 1, 1, 2), *(0, 1, 1, 1, 2, 2, 3, 3), *(0, 0, 1, 1, 2)]
    assert batch.rank.tolist() == [*(0, 1, -1, -1, -1, 0), *(0, -1, -1, -1, -1, -1, 0, 1), *(0, 1, -1, -1, 0)]
    assert [KINDS[k] for k in batch.kind[:6]] == [*["input"] * 2, *["hidden"] * 3, "output"]
    assert [ACTIVATIONS[a] for a in batch.activation[6:14]] == ["none", *["tanh"] * 3, *["none"] * 4]
    assert [(s.tap_kind, s.taps, s.count) for s in batch.edge_sets] == [
        ("flat", (4,), 4),
        ("kernel", (3, 3), 3),
        ("none", (), 9 + 6 + 6),
    ]
    assert sum(s.count for s in batch.edge_sets) == batch.num_edges


def test_table_names_source_and_target_of_every_weight() -> None:
    """Rebuild the matrix of every linear layer from edges."""
    g = mlp(3)
    batch = graphs.collate([mlp(2), g])
    part = batch.edge_sets[0]
    for value, source, target in zip(part.values[:, 0], batch.table.source(), batch.table.target(), strict=True):
        if source < 5:
            continue
        source, target = int(source) - 5, int(target) - 5
        weight = g.state_dict()["0.weight" if target < 5 else "2.weight"]
        assert value == (weight[target - 2, source] if target < 5 else weight[target - 5, source - 2])


def test_node_sets_hold_biases_at_their_nodes() -> None:
    g = mlp(3)
    (bias,) = graphs.collate([mlp(2), g]).node_sets
    assert bias.kind == "bias"
    at = dict(zip(bias.index.tolist(), bias.values[:, 0].tolist(), strict=True))
    state = g.state_dict()
    assert [at[5 + n] for n in range(2, 6)] == [*state["0.bias"].tolist(), *state["2.bias"].tolist()]


def test_reverse_edges() -> None:
    batch = graphs.collate([cnn(), mlp(3)])
    table, permutation = batch.reverse()
    assert torch.equal(table.target(), batch.table.source()[permutation])
    assert torch.equal(table.source(), batch.table.target()[permutation])


def test_edits_are_written_back_where_they_belong() -> None:
    batch = graphs.collate([cnn(), mlp(3), mlp(3)])
    weighted = [s.values for s in batch.edge_sets]
    same = batch.to_state_dicts(weighted, [s.values for s in batch.node_sets])
    for g, state in zip(batch.graphs, same, strict=True):
        assert all(torch.equal(state[k], v) for k, v in g.state_dict().items())
    doubled = batch.to_state_dicts([2 * v for v in weighted])
    for g, state in zip(batch.graphs, doubled, strict=True):
        for name, value in g.state_dict().items():
            assert torch.equal(state[name], 2 * value if name.endswith("weight") else value)
    with pytest.raises(ValueError, match="expected edge values of shapes"):
        batch.to_state_dicts(weighted[:1])


def test_edits_are_differentiable() -> None:
    batch = graphs.collate([mlp(3)])
    values = [s.values.clone().requires_grad_() for s in batch.edge_sets]
    (state,) = batch.to_state_dicts(values)
    state["0.weight"].sum().backward()
    assert values[0].grad is not None
    assert values[0].grad.sum() == 6


def test_tensors_of_one_topology() -> None:
    batch = graphs.collate([mlp(3), mlp(3)])
    tensors = batch.tensors()
    assert tensors["0.weight"].shape == (2, 3, 2, 1)
    assert torch.equal(tensors["2.bias"][1, :, 0], batch.graphs[1].state_dict()["2.bias"])
    with pytest.raises(ValueError, match="one topology, got 2"):
        graphs.collate([mlp(3), mlp(2)]).tensors()


def test_the_networks_run() -> None:
    nets = [nn.Sequential(nn.Linear(2, n), nn.Tanh(), nn.Linear(n, 3)) for n in (4, 5, 4)]
    x = torch.randn(7, 2)
    batch = graphs.collate([graph(net, x) for net in nets])
    outputs = batch.run(x)
    assert outputs.shape == (3, 7, 3)
    for net, output in zip(nets, outputs, strict=True):
        assert torch.allclose(output, net(x), atol=1e-6)


def test_activations_stand_at_their_nodes() -> None:
    nets = [nn.Sequential(nn.Linear(2, n), nn.Tanh(), nn.Linear(n, 3)) for n in (4, 5)]
    x = torch.randn(7, 2)
    batch = graphs.collate([graph(net, x) for net in nets])
    outputs, values = batch.run(x, activations=True)
    expected = torch.cat([torch.cat([x, torch.tanh(net[0](x)), net(x)], 1).T for net in nets])
    assert torch.allclose(values, expected, atol=1e-6)
    assert torch.allclose(values[9 - 3 : 9].T, outputs[0], atol=1e-6)


def test_activations_of_maps_are_averaged_over_positions() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(32, 1)
    )
    net.eval()
    x = torch.randn(5, 3, 8, 8)
    _, values = graphs.collate([graph(net, x)]).run(x, activations=True)
    parts = [x.mean((2, 3)), net[:3](x).mean((2, 3)), net[:4](x).mean((2, 3)), net(x)]
    assert torch.allclose(values, torch.cat(parts, 1).T, atol=1e-6)


def test_tied_and_normalised_networks_run() -> None:
    recipe = Recipe("gpt", {"vocabulary": 6, "context": 4, "width": 4, "depth": 1})
    net, (tokens,) = recipe.build().eval(), recipe.example_input()
    assert torch.allclose(graphs.collate([graph(net, tokens)]).run(tokens)[0], net(tokens), atol=1e-6)
    recipe = Recipe("resnet", {"widths": [4], "blocks": [1]})
    net, (image,) = recipe.build().eval(), recipe.example_input()
    assert torch.allclose(graphs.collate([graph(net, image)]).run(image)[0], net(image), atol=1e-6)


def test_a_topology_from_a_file_needs_its_module_to_run() -> None:
    net = nn.Sequential(nn.Linear(2, 3))
    topology = graphs.Topology.from_json(graphs.trace(net, torch.zeros(1, 2)).to_json())
    batch = graphs.collate([topology.bind(net.state_dict())])
    with pytest.raises(ValueError, match="attach"):
        batch.run(torch.zeros(1, 2))
    topology.attach(net)
    assert batch.run(torch.zeros(4, 2)).shape == (1, 4, 3)


def test_dtype_of_a_batch() -> None:
    batch = graphs.collate([cnn()]).to(torch.float64)
    assert {s.values.dtype for s in (*batch.edge_sets, *batch.node_sets)} == {torch.float64}


def test_single_layer_and_empty() -> None:
    batch = graphs.collate([graph(nn.Linear(2, 1), torch.zeros(1, 2))])
    assert (batch.num_nodes, batch.num_edges) == (3, 2)
    with pytest.raises(ValueError, match="at least one graph"):
        graphs.collate([])


def test_relations_are_edges_without_weights() -> None:
    recipe = Recipe("resnet", {"widths": [4], "blocks": [1]})
    net = recipe.build()
    batch = graphs.collate([graph(net, *recipe.example_input())])
    last = batch.edge_sets[-1]
    assert (last.tap_kind, last.count, last.values.shape) == ("relation", 4, (4, 0))
    assert [EDGE_KINDS[k] for k in batch.edge_kind[last.first :]] == ["identity"] * 4
