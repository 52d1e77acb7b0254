"""What a graph hypernetwork is told of a network: graphs, and a target for every parameter."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

import graphs
from hypernets.ghn.architecture import PRIMITIVES, PUBLISHED, Architecture
from hypernets.ghn.describing import describe, describe_graph
from hypernets.ghn.target import Target


class Mlp(nn.Module):
    """The net ``mlp`` of the golden files."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


class Cnn(nn.Module):
    """The net ``cnn`` of the golden files."""

    def __init__(self) -> None:
        super().__init__()
        first = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        second = [nn.Conv2d(16, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(48, 96, 1)]
        self.f, self.c = nn.Sequential(*first, *second), nn.Linear(96, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.f(x).mean((2, 3)))


GOLDEN = [
    ("ghn2_tiny__mlp", Mlp, (1, 64), PUBLISHED),
    ("ghn3_tiny__mlp", Mlp, (1, 64), PUBLISHED),
    # The published code left out a mean that keeps no axis where it made the file of GHN-2.
    ("ghn2_tiny__cnn", Cnn, (1, 3, 32, 32), PUBLISHED[:-1]),
    ("ghn3_tiny__cnn", Cnn, (1, 3, 32, 32), PUBLISHED),
]


@pytest.mark.parametrize(("name", "make", "shape", "primitives"), GOLDEN)
def test_golden_graphs(
    name: str, make: Callable[[], nn.Module], shape: tuple[int, ...], primitives: tuple[str, ...], shared: Path
) -> None:
    found = describe(make(), torch.zeros(shape), primitives=primitives)
    with safe_open(shared / "golden/ghn" / f"{name}.safetensors", framework="pt") as file:
        assert found.primitive.tolist() == file.get_tensor("node_feat").flatten().tolist()
        assert torch.equal(found.distance, file.get_tensor("adj_spd").long())
        predicted = {k.removeprefix("pred."): file.get_tensor(k).shape for k in file.keys() if k.startswith("pred.")}  # noqa: SIM118
        rows = json.loads(file.metadata()["node_info"])
    assert {t.name: t.shape for t in found.targets} == {k: tuple(s) for k, s in predicted.items()}
    targets = {t.name: t for t in found.targets}
    for node, parameter, _, size, last_weight, last_bias in rows:
        assert found.shape[node].tolist() == [*size, 1, 1, 1][:4]
        if parameter not in targets:
            continue
        target, matrix = targets[parameter], len(size) > 1
        decoder = ("weight", "classifier")[last_weight] if matrix else ("vector", "classifier_bias")[last_bias]
        assert (target.node, target.decoder) == (node, decoder)
        assert target.gain == pytest.approx(math.sqrt(2 / math.prod(size[1:])) if matrix else 1.0)


class Through(nn.Module):
    """A function of an input and parameters."""

    def __init__(self, how: Callable[..., Tensor], **parameters: Tensor) -> None:
        super().__init__()
        for name, value in parameters.items():
            self.register_parameter(name, nn.Parameter(value))
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return self.how(x, **dict(self.named_parameters())) + 0 * x.sum()


def only(module: nn.Module, *inputs: Tensor) -> dict[str, Target]:
    """The targets by name, behind a layer so that none is a head."""
    return {t.name: t for t in describe(module, *inputs).targets}


def he(fan_in: float, beta: float = 2.0) -> Any:
    return pytest.approx(math.sqrt(beta / fan_in))


# Layer, shape of its input, and of its weight: canonical shape, axes, gain.
WEIGHTS = {
    "conv1d": (nn.Conv1d(6, 8, 3), (1, 6, 9), (8, 6, 3, 1), (0, 1, 2), he(18)),
    "conv2d": (nn.Conv2d(6, 8, 3), (1, 6, 9, 9), (8, 6, 3, 3), (0, 1, 2, 3), he(54)),
    "wide kernel": (nn.Conv2d(6, 8, (1, 7)), (1, 6, 9, 9), (8, 6, 1, 7), (0, 1, 2, 3), he(42, 1)),
    "conv3d": (nn.Conv3d(6, 8, (2, 3, 5)), (1, 6, 6, 6, 6), (8, 6, 6, 5), (0, 1, 2, 3, 4), he(180)),
    "grouped": (nn.Conv2d(6, 8, 3, groups=2), (1, 6, 9, 9), (8, 3, 3, 3), (0, 1, 2, 3), he(27)),
    "depthwise": (nn.Conv2d(6, 6, 3, groups=6), (1, 6, 9, 9), (6, 1, 3, 3), (0, 1, 2, 3), he(9, 1)),
    "transposed": (nn.ConvTranspose2d(6, 8, 4, stride=2), (1, 6, 5, 5), (8, 6, 4, 4), (1, 0, 2, 3), he(24)),
    "transposed, grouped": (
        nn.ConvTranspose1d(6, 8, 3, groups=2), (1, 6, 5), (4, 6, 3, 1), (1, 0, 2), he(9),
    ),
    "linear": (nn.Linear(6, 8), (1, 6), (8, 6, 1, 1), (0, 1), he(6)),
    "linear on a sequence": (nn.Linear(6, 8), (1, 5, 6), (8, 6, 1, 1), (0, 1), he(6)),
    "x @ W": (Through(lambda x, weight: x @ weight, weight=torch.ones(6, 8)), (1, 6), (8, 6, 1, 1), (1, 0), he(6)),
    "experts": (
        Through(lambda x, weight: torch.bmm(x, weight), weight=torch.randn(3, 6, 8)),
        (3, 5, 6), (24, 6, 1, 1), (0, 2, 1), he(6),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name: str) -> None:
    layer, shape, canonical, axes, gain = WEIGHTS[name]
    module = nn.Sequential(layer, nn.Softsign(), Through(lambda x, s: x * s, s=torch.rand(())))
    target = only(module, torch.randn(shape))["0.weight"]
    assert (target.canonical, target.axes, target.gain) == (canonical, axes, gain)
    assert (target.decoder, target.kind) == ("weight", "weight")


def test_stored_order_of_a_transposed_convolution() -> None:
    """The first output channel of what was decoded is the first output channel of the layer."""
    layer = nn.ConvTranspose2d(2, 3, 1, bias=False)
    (target,) = describe(nn.Sequential(layer, nn.Softsign(), nn.LayerNorm(4)), torch.zeros(1, 2, 4, 4)).targets[:1]
    decoded = torch.zeros(target.canonical)
    decoded[0] = 1
    with torch.no_grad():
        layer.weight.copy_(target.stored(decoded))
    assert layer(torch.ones(1, 2, 1, 1)).flatten().tolist() == [2, 0, 0]


def test_norms_and_biases() -> None:
    for norm in (nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)):
        targets = only(nn.Sequential(nn.Conv2d(4, 4, 1), norm, nn.ReLU()), torch.randn(2, 4, 5, 5))
        assert {n: (t.decoder, t.kind, t.gain) for n, t in targets.items() if n.startswith("1")} == {
            "1.weight": ("vector", "scale", 1.0),
            "1.bias": ("vector", "shift", 1.0),
        }
        assert (targets["0.bias"].decoder, targets["0.bias"].kind) == ("vector", "shift")


class RootNorm(nn.Module):
    """A root-mean-square norm of a user's own that multiplies by one plus its weight."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * x.square().mean(-1, keepdim=True).add(1e-6).rsqrt() * (1 + self.weight)


def test_scale_of_a_zero_centred_norm_is_a_shift() -> None:
    targets = only(nn.Sequential(nn.Linear(4, 4), RootNorm(4), nn.ReLU()), torch.randn(2, 4))
    assert targets["1.weight"].kind == "shift"


class Tokens(nn.Module):
    """A small ViT's tables: class token, positions in one and in two dimensions, relative positions, layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 2, stride=2)
        self.map = nn.Parameter(0.3 * torch.randn(1, 8, 4, 4))
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.positions = nn.Parameter(0.1 * torch.randn(1, 17, 8))
        self.qkv, self.norm = nn.Linear(8, 24), nn.LayerNorm(8)
        self.relative = nn.Parameter(0.2 * torch.randn(33, 2))
        self.layer_scale = nn.Parameter(torch.full((8,), 1e-5))
        self.temperature = nn.Parameter(torch.tensor(4.0))
        self.head = nn.Linear(8, 10)
        self.register_buffer("index", (torch.arange(17)[:, None] - torch.arange(17)) + 16)

    def forward(self, x: Tensor) -> Tensor:
        x = (self.patch(x) + self.map).flatten(2).mT
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        scores = (q * self.temperature) @ k.mT + self.relative[self.index.flatten()].view(17, 17, 2).permute(2, 0, 1)
        return self.head((x + (scores.softmax(-1) @ v).transpose(1, 2).flatten(2) * self.layer_scale)[:, 0])


def test_tables_are_at_the_scale_of_the_own_rule() -> None:
    torch.manual_seed(0)
    net = Tokens()
    found = describe(net, torch.randn(2, 3, 8, 8))
    targets = {t.name: t for t in found.targets}
    assert found.own == ()
    assert len(targets) == len(list(net.parameters()))
    assert {n: (t.canonical, t.kind) for n, t in targets.items() if "." not in n} == {
        "map": ((1, 8, 4, 4), "position"),
        "token": ((8, 1, 1, 1), "position"),
        "positions": ((17, 8, 1, 1), "position"),
        "relative": ((33, 2, 1, 1), "position"),
        "layer_scale": ((8, 1, 1, 1), "scale"),
        "temperature": ((1, 1, 1, 1), "scale"),
    }
    for name in ("map", "positions", "relative"):
        assert targets[name].gain == pytest.approx(getattr(net, name).square().mean().sqrt().item())
    assert targets["layer_scale"].gain == pytest.approx(1e-5)
    assert targets["temperature"].gain == pytest.approx(4.0)
    assert targets["token"].gain == 0.02  # Zero under its own rule: as most transformers start.
    assert (targets["head.weight"].decoder, targets["head.bias"].decoder) == ("classifier", "classifier_bias")
    assert targets["qkv.weight"].decoder == "weight"


def test_recurrent_gates_have_the_fan_in_of_one() -> None:
    targets = only(nn.LSTM(6, 8, batch_first=True), torch.randn(2, 5, 6))
    assert targets["weight_ih_l0"].canonical == (32, 6, 1, 1)
    assert targets["weight_ih_l0"].gain == he(6, 1)
    assert targets["weight_hh_l0"].canonical == (32, 8, 1, 1)
    assert targets["weight_hh_l0"].gain == he(8, 1)
    assert {targets[f"bias_{n}_l0"].kind for n in ("ih", "hh")} == {"shift"}


def test_attention_in_all_its_ways() -> None:
    """Self-attention (one product), cross-attention (three products of pieces), fused or not."""
    x = torch.randn(2, 5, 8)
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    for call in (lambda m, x: m(x, x, x)[0], lambda m, x: m(x, x.flip(1), x + 1, need_weights=False)[0]):
        module = nn.Module()
        module.attention = attention
        module.forward = lambda x, c=call: c(attention, x)
        target = only(module, x)["attention.in_proj_weight"]
        assert (target.canonical, target.axes, target.gain) == ((24, 8, 1, 1), (0, 1), he(8))
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    assert {t.name for t in describe(layer, x).targets} == {n for n, _ in layer.named_parameters()}


class Reused(nn.Module):
    """An embedding tied to the output, a layer that runs twice, a layer that does not, and an integer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.twice, self.head = nn.Embedding(11, 6), nn.Linear(6, 6), nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight
        self.unread = nn.Linear(6, 6)
        self.steps = nn.Parameter(torch.tensor([1, 2]), requires_grad=False)
        self.empty = nn.Parameter(torch.zeros(0, 6))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.twice(self.twice(self.embed(tokens)).relu())
        return self.head(torch.cat([x.flatten(0, 1), self.empty])) * self.steps.sum()


def test_tied_and_reused_parameters_are_one_target_and_the_rest_has_reasons() -> None:
    found = describe(Reused(), torch.tensor([[1, 2]]))
    assert [t.name for t in found.targets] == ["embed.weight", "twice.weight", "twice.bias"]
    assert found.targets[0].kind == "position"
    reasons = dict(found.own)
    assert "does not read" in reasons["unread.weight"]
    assert "does not read" in reasons["unread.bias"]
    assert "int64" in reasons["steps"]
    assert "empty" in reasons["empty"]


def test_what_is_a_head() -> None:
    def decoders(*layers: nn.Module) -> set[str]:
        return {t.decoder for t in describe(nn.Sequential(*layers), torch.zeros(1, 4, 5, 5)).targets}

    conv = nn.Conv2d(4, 10, 1)
    assert "classifier" in decoders(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(-1))
    assert "classifier" not in decoders(conv, nn.ReLU(), nn.GroupNorm(2, 10))
    assert "classifier" not in decoders(nn.Conv2d(4, 10, 3))


def same(a: Architecture, b: Architecture) -> bool:
    arrays = all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("primitive", "shape", "distance"))
    return arrays and [(t.name, t.node, t.canonical) for t in a.targets] == [
        (t.name, t.node, t.canonical) for t in b.targets
    ]


def test_meta_device_and_reduced_graphs_say_the_same() -> None:
    for family in ("resnet", "vit", "gpt"):
        recipe = graphs.Recipe(family)
        inputs = recipe.example_input()
        found = describe(recipe.build(), *inputs)
        with torch.device("meta"):
            empty = recipe.build()
        assert same(found, describe(empty, *(x.to("meta") for x in inputs)))
        assert same(found, describe_graph(graphs.computation_graph(recipe.build(), *inputs).reduced()))


def test_words_of_a_published_hypernetwork() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(16, 10), nn.Softmax(-1))
    full, published = (describe(net, torch.zeros(1, 3, 2, 2), primitives=p) for p in (PRIMITIVES, PUBLISHED))
    assert [PRIMITIVES[i] for i in full.primitive] == [
        "input",
        "conv",
        "bias",
        "gn",
        "conv",
        "bias",
        "softmax",
        "output",
    ]
    assert [PUBLISHED[i] for i in published.primitive] == ["input", "conv", "bias", "ln", "conv", "bias", "msa"]
    assert [t.name for t in full.targets] == [t.name for t in published.targets]


def test_bad_input_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"got 'conv'.*reduce the computation graph first"):
        describe_graph(graphs.computation_graph(nn.Linear(2, 3), torch.zeros(1, 2)).reduced(), primitives=["input"])
    with pytest.raises(graphs.UntraceableError, match=r"Linear.*check that the inputs"):
        describe(nn.Linear(2, 3), torch.zeros(1, 5))
