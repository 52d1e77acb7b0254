"""Each architecture against what was counted by hand: groups, nodes, edges, kinds, directions, activations."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

import graphs
from graphs import Recipe, Topology


def log10_factorial(*sizes: int) -> float:
    return sum(math.lgamma(n + 1) for n in sizes) / math.log(10)


# family -> (arguments, nodes, edges, log10 of the group order)
HAND_COUNTS = {
    # 5 -> 4 -> 3 -> 2
    "mlp": ({"inputs": 5, "hidden": [4, 3], "outputs": 2}, 5 + 4 + 3 + 2, 20 + 12 + 6, log10_factorial(4, 3)),
    # 2 -> 6 -> 6 -> 1
    "siren": ({"hidden": [6, 6]}, 2 + 6 + 6 + 1, 12 + 36 + 6, log10_factorial(6, 6)),
    # 3 -> 4 | 5 -> flatten 2x2: taps, not nodes -> 6 -> 2
    "vgg": (
        {"input_shape": [3, 8, 8], "stages": [[4], [5]], "hidden": 6, "outputs": 2},
        3 + 4 + 5 + 6 + 2,
        12 + 20 + 30 + 12,
        log10_factorial(4, 5, 6),
    ),
    # stem 3 -> 4; a block of width 4 (identity shortcut); a block 4 -> 6 (1x1 shortcut); head 6 -> 2.
    # Nodes: input 3, stem 4, block 1: 4 + 4, block 2: 6, main branch 6, shortcut 6 (where the sum stands), head 2.
    "resnet": (
        {"widths": [4, 6], "blocks": [1, 1], "outputs": 2},
        3 + 4 + (4 + 4) + (6 + 6 + 6) + 2,
        12 + (16 + 16 + 4) + (24 + 36 + 24 + 6) + 12,
        log10_factorial(4, 4, 6, 6),  # stream 4, inner 4, inner 6, stream 6
    ),
    # stem 3 -> 4, one inverted residual 4 -> 8 -> (depthwise) 8 -> 4 with a shortcut, head 4 -> 2
    "mobilenet": (
        {"stem": 4, "widths": [4], "strides": [1], "outputs": 2},
        3 + 4 + 8 + 8 + 4 + 2,
        12 + 32 + 8 + 32 + 4 + 8,
        log10_factorial(4, 8),
    ),
    # One block of width 8, 2 heads of 4, MLP 16. Sites: input 3, stream 8, norm 8, qkv 24, heads 2, mixed values 8,
    # stream 8, norm 8, MLP 16, stream (with the last norm) 8, head 2.
    "vit": (
        {"width": 8, "depth": 1, "outputs": 2},
        3 + 8 + 8 + 24 + 2 + 8 + 8 + 8 + 16 + 8 + 2,
        24 + 8 * 24 + 64 + 128 + 128 + 16  # patches, qkv, out, MLP up and down, head
        + 8 + 2 * 8 + 8 + 8  # stream -> norm; q, k -> heads; heads -> mixed; v -> mixed
        + 8 + 8 + 8,  # the two residual additions, stream -> norm
        log10_factorial(8, 16) + log10_factorial(2) + 2 * 2 * log10_factorial(4),  # the last: qk and v of each head
    ),
    # Two blocks of width 8, 2 heads of 4, MLP 32, 12 tokens: the tied head is a second use of the embedding.
    "gpt": (
        {"vocabulary": 12, "context": 6, "width": 8},
        12 + 8 + 2 * (8 + 24 + 2 + 8 + 8 + 8 + 32 + 8) + 12,
        96 + 2 * (192 + 64 + 256 + 256 + 8 + 16 + 8 + 8 + 24) + 96,
        log10_factorial(8) + 2 * (log10_factorial(32, 2) + 2 * 2 * log10_factorial(4)),
    ),
}  # fmt: skip


def build(family: str) -> tuple[nn.Module, tuple]:
    recipe = Recipe(family, HAND_COUNTS[family][0])
    torch.manual_seed(0)
    return recipe.build(), recipe.example_input()


@pytest.mark.parametrize("family", HAND_COUNTS)
def test_hand_counts(family: str) -> None:
    _, nodes, edges, log10_order = HAND_COUNTS[family]
    module, inputs = build(family)
    topology = graphs.trace(module, *inputs)
    assert (topology.num_nodes, topology.num_edges) == (nodes, edges)
    assert topology.log10_group_order == pytest.approx(log10_order, abs=1e-9)
    assert not topology.pinned


@pytest.mark.parametrize("family", HAND_COUNTS)
def test_certificate(family: str) -> None:
    module, inputs = build(family)
    certificate = graphs.certify(module, *inputs, trials=5)
    assert certificate.max_error < 1e-12
    assert certificate.coverage > 0.9
    assert certificate.log10_group_order == pytest.approx(HAND_COUNTS[family][3], abs=1e-9)


@pytest.mark.parametrize("family", HAND_COUNTS)
def test_other_permutations_change_the_function(family: str) -> None:
    """The group is not larger than it should be: a permutation of one side of a hidden site is no symmetry."""
    module, inputs = build(family)
    topology = graphs.trace(module, *inputs)
    block = next(b for b in topology.blocks if b.kind in ("bias", "norm_weight"))
    name = topology.entries[block.parameter].name
    changed = copy.deepcopy(module)
    state = dict(changed.named_parameters())[name]
    with torch.no_grad():
        state.copy_(torch.randn(state.shape, generator=torch.Generator().manual_seed(1)))
        before = changed(*inputs)
        state.copy_(state.roll(1))
        after = changed(*inputs)
    assert (before - after).abs().max() > 1e-4


def test_kinds_directions_and_activations_of_a_cnn() -> None:
    """What a certificate cannot see."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, (3, 5)),
        nn.BatchNorm2d(4),
        nn.SiLU(),
        nn.Conv2d(4, 5, 1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(45, 2),
    )
    topology = graphs.trace(net, torch.randn(2, 3, 5, 7))
    assert [(s.size, s.activation, s.layer) for s in topology.sites] == [
        (3, "none", 0),
        (4, "silu", 1),
        (5, "tanh", 2),
        (2, "none", 3),
    ]
    assert [g.kind for g in topology.groups] == ["input", "hidden", "hidden", "output"]
    blocks = {topology.entries[b.parameter].name: b for b in topology.blocks}
    assert {n: b.kind for n, b in blocks.items()} == {
        "0.weight": "conv",
        "0.bias": "bias",
        "1.weight": "norm_weight",
        "1.bias": "norm_bias",
        "1.running_mean": "running_mean",
        "1.running_var": "running_var",
        "3.weight": "conv",
        "3.bias": "bias",
        "6.weight": "linear",
        "6.bias": "bias",
    }
    assert (blocks["0.weight"].source, blocks["0.weight"].target, blocks["0.weight"].taps) == (0, 1, (3, 5))
    assert (blocks["6.weight"].source, blocks["6.weight"].target, blocks["6.weight"].taps) == (2, 3, (9,))
    assert blocks["6.weight"].flat
    assert not blocks["0.weight"].flat


def test_a_row_kernel_is_no_column_kernel() -> None:
    def taps(kernel: tuple[int, int]) -> tuple[int, ...]:
        topology = graphs.trace(nn.Conv2d(2, 3, kernel), torch.zeros(1, 2, 4, 4))
        return next(b.taps for b in topology.blocks if b.kind == "conv")

    assert [taps(k) for k in [(1, 3), (3, 1), (1, 1)]] == [(1, 3), (3, 1), ()]


def test_edges_carry_the_right_weights() -> None:
    """Edge values of a flattened CHW map, read off the graph, are the weight matrix seen as [out, channel, place]."""
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    graph = graphs.trace(net, torch.randn(2, 1, 4, 4)).bind(net.state_dict())
    block = next(b for b in graph.topology.blocks if b.flat)
    expected = net[3].weight.detach().view(2 * 3, 4)
    assert torch.equal(graph.values(block), expected)


def test_equal_layers_stay_apart() -> None:
    """Two hidden layers of one width, and two blocks of a GPT, are different groups at different sites."""
    topology = graphs.trace(
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), torch.zeros(1, 3)
    )
    assert [g.size for g in topology.groups if g.kind == "hidden"] == [4, 4]
    assert [s.layer for s in topology.sites] == [0, 1, 2, 3]


def test_digest_is_independent_of_process_probe_and_names() -> None:
    first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    second = nn.Module()
    second.a, second.b, second.c = first[0], first[4], nn.Sequential(first[0], first[1], first[2], first[3], first[4])
    digests = {graphs.trace(first, torch.randn(b, 3, n, n)).digest for b, n in [(1, 5), (2, 8), (3, 9)]}
    assert len(digests) == 1
    renamed = nn.Sequential()
    for name, layer in zip("vwxyz", first, strict=True):
        renamed.add_module(name, layer)
    assert graphs.trace(renamed, torch.randn(2, 3, 8, 8)).digest in digests
    gpt = Recipe("gpt", {"vocabulary": 12, "context": 8, "width": 8, "depth": 1}).build()
    assert len({graphs.trace(gpt, torch.randint(0, 12, (b, t))).digest for b, t in [(1, 3), (2, 4), (2, 8)]}) == 1


def test_digest_is_the_same_in_another_process() -> None:
    import subprocess
    import sys

    code = (
        "import torch, graphs; from graphs import Recipe; r = Recipe('vit', {'width': 8, 'depth': 1});"
        "print(graphs.trace(r.build(), *r.example_input()).digest)"
    )
    recipe = Recipe("vit", {"width": 8, "depth": 1})
    here = graphs.trace(recipe.build(), *recipe.example_input()).digest
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()[-1]
    assert there == here


@pytest.mark.parametrize("family", HAND_COUNTS)
def test_json_round_trip(family: str) -> None:
    module, inputs = build(family)
    topology = graphs.trace(module, *inputs)
    again = Topology.from_json(topology.to_json())
    assert again == topology
    assert again.sites == topology.sites
    assert again.blocks == topology.blocks
    assert again.layout == topology.layout


def test_damaged_json_is_refused() -> None:
    topology = graphs.trace(nn.Linear(2, 3), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="damaged"):
        Topology.from_json(topology.to_json().replace('"size": 3', '"size": 4', 1))
    with pytest.raises(ValueError, match=r"\['site_calls'\] are missing"):
        Topology.from_json(topology.to_json().replace('"site_calls"', '"other"', 1))
    with pytest.raises(ValueError, match="format 1"):
        Topology.from_json(topology.to_json().replace('"format": 1', '"format": 99'))
