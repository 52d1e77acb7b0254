"""Computation graphs against hand counts: nodes, edges, ties, versions, primitives, shortest paths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from nets import without
from scipy.sparse.csgraph import floyd_warshall
from torch import Tensor, nn
from torch.nn import functional

import graphs
from graphs import ComputationGraph, OpNode, Recipe


def names(graph: ComputationGraph) -> list[str]:
    return [node.name for node in graph.nodes]


def named_edges(graph: ComputationGraph) -> set[tuple[str, str]]:
    return {(graph.nodes[a].name, graph.nodes[b].name) for a, b in graph.edges}


def ops(graph: ComputationGraph) -> list[str]:
    return [node.name for node in graph.nodes if node.kind == "op"]


def test_mlp() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    graph = graphs.computation_graph(net, torch.zeros(5, 4))
    assert names(graph) == ["0", "0.weight", "0.bias", "2.weight", "2.bias", "addmm", "relu", "addmm", "0"]
    assert graph.edge_index.tolist() == [[0, 1, 2, 5, 3, 4, 6, 7], [5, 5, 5, 6, 7, 7, 7, 8]]
    assert [(n.module, n.layer, n.shape) for n in graph.nodes if n.kind == "op"] == [
        ("0", "Linear", (5, 3)),
        ("1", "ReLU", (5, 3)),
        ("2", "Linear", (5, 2)),
    ]
    assert graph.nodes[1] == OpNode("parameter", "0.weight", shape=(3, 4), parameters={"0.weight": (3, 4)})


class Residual(nn.Module):
    """x + conv(relu(norm(x)))."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(functional.relu(self.norm(x)))


def test_residual_block() -> None:
    graph = graphs.computation_graph(Residual(), torch.zeros(1, 4, 5, 5))
    assert ops(graph) == ["native_batch_norm", "relu", "convolution", "add"]
    # input, 2 parameters and 2 statistics of the norm, its counter, a kernel, 4 ops, output
    assert (graph.num_nodes, graph.num_edges) == (12, 5 + 1 + 2 + 2 + 1)
    buffers = {n.name for n in graph.nodes if n.kind == "buffer"}
    assert buffers == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    reduced = graph.reduced()
    assert names(reduced) == ["input", "bn", "conv", "sum", "output"]
    assert reduced.edges == ((0, 1), (1, 2), (0, 3), (2, 3), (3, 4))
    assert reduced.nodes[1].parameters == {"norm.weight": (4,), "norm.bias": (4,)}
    bare = graph.reduced(only_parameters=True)
    assert names(bare) == ["input", "bn", "conv", "output"]
    assert bare.edges == ((0, 1), (1, 2), (0, 3), (2, 3))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(6, 3), nn.Linear(6, 3, bias=False)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(x).tanh() @ self.decode.weight


def test_tied_parameter_is_one_node() -> None:
    graph = graphs.computation_graph(Tied(), torch.zeros(2, 6))
    weight = next(n for n in graph.nodes if n.name == "encode.weight")
    assert set(weight.parameters) == {"encode.weight", "decode.weight"}
    assert (graph.num_nodes, graph.num_edges) == (1 + 2 + 3 + 1, 3 + 1 + 2 + 1)
    assert {("encode.weight", "addmm"), ("encode.weight", "mm")} <= named_edges(graph)
    held = [n.parameters for n in graph.reduced().nodes if n.parameters]
    assert held == [{"encode.weight": (3, 6)}, {"encode.bias": (3,)}, {"encode.weight": (3, 6)}]


def test_a_layer_used_twice_has_two_ops_and_one_parameter() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.layer(x))

    graph = graphs.computation_graph(Twice(), torch.zeros(1, 3))
    assert graph.edges == ((0, 2), (1, 2), (1, 3), (2, 3), (3, 4))
    assert len({n.call for n in graph.nodes if n.name == "mm"}) == 2
    assert names(graph.reduced()) == ["input", "conv", "conv", "output"]


def test_recurrent_layers() -> None:
    """Of an LSTM over two steps: the inputs at once, a product with the state each step; reduced, its parameters."""
    graph = graphs.computation_graph(nn.LSTM(3, 4, batch_first=True), torch.zeros(1, 2, 3))
    assert ops(graph).count("addmm") == 3
    hidden = names(graph).index("weight_hh_l0")
    assert [graph.nodes[b].name for a, b in graph.edges if a == hidden] == ["addmm", "addmm"]
    reduced = graph.reduced()
    assert names(reduced) == ["input", "recurrent", "recurrent", "bias", "bias", "output", "output", "output"]
    both = nn.GRU(3, 4, bidirectional=True, num_layers=2)
    held = [n for node in graphs.computation_graph(both, torch.zeros(2, 1, 3)).reduced().nodes for n in node.parameters]
    assert sorted(held) == sorted(n for n, _ in both.named_parameters())


def test_gpt() -> None:
    recipe = Recipe("gpt", {"depth": 2})
    graph = graphs.computation_graph(recipe.build(), *recipe.example_input())
    block = (
        "native_layer_norm addmm clone clone bmm div masked_fill _softmax clone bmm clone addmm add "
        "native_layer_norm addmm gelu addmm add"
    ).split()
    assert ops(graph) == ["embedding", "embedding", "add", *block, *block, "native_layer_norm", "mm"]
    # The tied embedding is one of 2 + 2 * 12 + 2 parameters.
    assert graph.num_nodes == 1 + 28 + len(ops(graph)) + 1
    reduced = graph.reduced()
    block = "ln conv bias matmul softmax matmul conv bias sum ln conv bias conv bias sum".split()
    assert names(reduced) == ["input", "embedding", "pos_enc", "sum", *block, *block, "ln", "conv", "output"]
    # A chain of 37 nodes of which pos_enc is a branch; each block adds v past the softmax and two residual additions.
    assert reduced.num_edges == 36 - 1 + 1 + 2 * 3
    assert reduced.nodes[2].parameters == {"positions.weight": (16, 16)}


def test_branches_without_parameters() -> None:
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([functional.max_pool2d(x, 2), functional.avg_pool2d(x, 2)], 1).mean((2, 3))

    graph = graphs.computation_graph(Branches(), torch.zeros(1, 2, 4, 4))
    reduced = graph.reduced()
    assert names(reduced) == ["input", "max_pool", "avg_pool", "concat", "glob_avg", "output"]
    assert reduced.edges == ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (4, 5))
    assert graph.reduced(only_parameters=True).edges == ((0, 1),)
    assert next(n for n in reduced.nodes if n.name == "max_pool").arguments["kernel_size"] == [2, 2]


def test_kinds_of_convolutions() -> None:
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3, groups=2, bias=False),
        nn.Conv2d(8, 8, 3, groups=8, bias=False),
        nn.Conv2d(8, 8, 2, groups=8, dilation=2, bias=False),
        nn.ConvTranspose2d(8, 2, 2, dilation=2, bias=False),
    )
    reduced = graphs.computation_graph(net, torch.zeros(1, 4, 9, 9)).reduced()
    assert names(reduced) == ["input", "conv", "sep_conv", "dil_conv", "conv", "output"]


def test_every_parameter_that_is_read_is_held_by_a_primitive() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low, self.rank = nn.Parameter(torch.randn(4, 1)), nn.Parameter(torch.randn(1, 4))
            self.gamma, self.token = nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(1, 4))
            self.normed = torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
            self.rms, self.unread = nn.RMSNorm(4), nn.Parameter(torch.zeros(2))
            self.depthwise = nn.Conv1d(1, 1, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.gamma * (x @ (self.low @ self.rank))
            x = self.rms(self.normed(x))
            return torch.cat([self.token, self.depthwise(x[:, None])[:, 0]])

    net = Odd()
    graph = graphs.computation_graph(net, torch.zeros(2, 4))
    held = {name: node.name for node in graph.reduced().nodes for name in node.parameters}
    assert held.keys() == {n for n, _ in net.named_parameters()} - {"unread"}
    together = [set(n.parameters) for n in graph.reduced().nodes if len(n.parameters) > 1]
    assert {"low", "rank"} in together
    assert (held["gamma"], held["token"], held["rms.weight"]) == ("scale", "pos_enc", "ln")
    unread = names(graph).index("unread")
    assert unread not in {v for edge in graph.edges for v in edge}


def test_in_place_ops_make_versions_and_views_are_no_nodes() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            z = x.view(2, 2).t().clone()
            z[0] += y
            before = z.sum()
            z.zero_()
            return before + z.sum()

    graph = graphs.computation_graph(InPlace(), torch.ones(4), torch.ones(2))
    # z[0] += y adds in place and copies into place; z filled with zeros depends on nothing.
    assert ops(graph)[:2] == ["clone", "add"]
    assert "zero" not in ops(graph)
    assert graph.predecessors[3] == (1, 2)
    assert sum(n.name == "sum" for n in graph.nodes) == 1


def test_meta_modules_and_training_flags() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.BatchNorm1d(4)).train()
    graph = graphs.computation_graph(net, torch.zeros(2, 3))
    assert ops(graph) == ["addmm", "native_batch_norm"]
    assert net.training
    assert net[2].num_batches_tracked == 0
    meta = graphs.computation_graph(net.to("meta"), torch.zeros(2, 3, device="meta"))
    assert names(meta)[:8] == names(graph)[:8]
    assert meta.edges == graph.edges


def test_parameters_in_one_memory_stay_apart() -> None:
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    expected = graphs.computation_graph(net, torch.zeros(1, 3))
    flat = torch.randn(18)
    net[0].weight.data, net[1].weight.data = flat[:9].view(3, 3), flat[9:].view(3, 3)
    assert graphs.computation_graph(net, torch.zeros(1, 3)) == expected


def test_shortest_paths() -> None:
    """Against Floyd and Warshall's algorithm, and by hand on a diamond with a long side."""
    nodes = tuple(OpNode("op", "relu") for _ in range(5))
    diamond = ComputationGraph(nodes, ((0, 1), (1, 2), (2, 3), (0, 3), (3, 4)))
    assert diamond.shortest_paths().tolist() == [
        [0, 1, 2, 1, 2],
        [0, 0, 1, 2, 3],
        [0, 0, 0, 1, 2],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0],
    ]
    assert diamond.shortest_paths(max_distance=2)[1].tolist() == [0, 0, 1, 2, 0]
    recipe = Recipe("resnet")
    graph = graphs.computation_graph(recipe.build(), *recipe.example_input())
    dense = torch.zeros(graph.num_nodes, graph.num_nodes)
    dense[graph.edge_index[0], graph.edge_index[1]] = 1
    expected = torch.from_numpy(floyd_warshall(dense.numpy(), unweighted=True))
    expected[~torch.isfinite(expected) | (expected > 50)] = 0
    assert torch.equal(graph.shortest_paths(), expected.long())
    assert ComputationGraph((), ()).shortest_paths().shape == (0, 0)


def test_json_round_trip_and_bad_input() -> None:
    recipe = Recipe("vit")
    for graph in (g := graphs.computation_graph(recipe.build(), *recipe.example_input()), g.reduced()):
        assert ComputationGraph.from_json(graph.to_json()) == graph
    with pytest.raises(ValueError, match="got 99"):
        ComputationGraph.from_json('{"format": 99}')
    with pytest.raises(ValueError, match=r"got \(1, 0\)"):
        ComputationGraph((OpNode("op", "a"), OpNode("op", "b")), ((1, 0),))
    with pytest.raises(ValueError, match="'weight'"):
        OpNode("weight", "a")
    with pytest.raises(graphs.UntraceableError, match="addmm"):
        graphs.computation_graph(nn.Linear(3, 2), torch.zeros(1, 4))


# ---- the nets of the golden files

GOLDEN = {
    "mlp": (
        nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 10)),
        torch.zeros(1, 64),
    ),
    "cnn": (
        nn.Sequential(
            nn.Conv2d(3, 16, 3, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 48, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(48, 96, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(96, 10),
        ),
        torch.zeros(1, 3, 12, 12),
    ),
}


@pytest.mark.parametrize("net", GOLDEN)
@pytest.mark.parametrize("model", ["ghn2", "ghn3"])
def test_golden_shortest_paths(shared: Path, model: str, net: str) -> None:
    """The stored primitives and matrix of the published code, up to nodes without parameters (ghn2 leaves out the mean
    over the map, ghn3 does not)."""
    from safetensors import safe_open

    path = shared / "golden" / "ghn" / f"{model}_tiny__{net}.safetensors"
    if not path.exists():
        pytest.skip(f"no golden file {path}")
    with safe_open(path, "pt") as file:
        meta, adjacency, features = file.metadata(), file.get_tensor("adj_spd"), file.get_tensor("node_feat")
    primitives = json.loads(meta["primitives"])
    stored = [primitives[f] for f in features.tolist()]
    shapes = {node: tuple(shape) for node, _, _, shape, _, _ in json.loads(meta["node_info"])}
    graph = graphs.computation_graph(*GOLDEN[net])

    ours = graph.reduced()
    kept = [
        i for i, n in enumerate(ours.nodes) if n.kind != "output" and (n.name != "glob_avg" or "glob_avg" in stored)
    ]
    assert [ours.nodes[i].name for i in kept] == stored
    if "glob_avg" in stored or net == "mlp":
        assert torch.equal(ours.shortest_paths()[kept][:, kept], adjacency.long())

    bare = graph.reduced(only_parameters=True)
    ours_bare = bare.shortest_paths()[:-1, :-1]
    holds = [i for i, name in enumerate(stored) if name not in ("max_pool", "glob_avg")]
    theirs = without(adjacency.long() == 1, holds)
    assert torch.equal(ours_bare, theirs)
    for i, node in zip(holds[1:], bare.nodes[1:-1], strict=True):
        assert shapes[i] in node.parameters.values()
