"""Networks that nobody wrote down: random perceptrons, convolutional networks and transformers are certified.

What hypothesis draws and shrinks is a description, which it prints as it would be written.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import graphs

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU, "none": nn.Identity}


@dataclass(frozen=True)
class Dense:
    """A fully connected layer. ``join`` is how it meets its input: not at all, added, or concatenated; where it is
    ``tied`` and the shape fits, it uses the weights of the layer before, or their transpose."""

    width: int
    norm: str
    act: str
    join: str
    bias: bool
    tied: bool


@dataclass(frozen=True)
class Perceptron:
    layers: tuple[Dense, ...]

    def build(self) -> tuple[nn.Module, tuple[Tensor, ...]]:
        return PerceptronNet(self), (torch.randn(3, 4),)


@dataclass(frozen=True)
class Conv:
    """A convolution: plain, depthwise or grouped, its channels perhaps shuffled afterwards."""

    width: int
    groups: str
    norm: str
    act: str
    join: str
    stride: int
    shuffled: bool


@dataclass(frozen=True)
class ConvNet:
    layers: tuple[Conv, ...]
    flatten: bool

    def build(self) -> tuple[nn.Module, tuple[Tensor, ...]]:
        return ConvolutionalNet(self), (torch.randn(2, 3, 6, 6),)


@dataclass(frozen=True)
class Block:
    """Attention and a feed-forward part, with fewer key than query heads or as many."""

    heads: int
    key_heads: int
    size: int
    hidden: int
    gated: bool
    norm: str
    norm_first: bool


@dataclass(frozen=True)
class Transformer:
    width: int
    blocks: tuple[Block, ...]
    shared: bool  # the first block is used in the place of all
    positions: bool
    tied_head: bool

    def build(self) -> tuple[nn.Module, tuple[Tensor, ...]]:
        return TransformerNet(self), (torch.randint(0, 7, (2, 5)),)


# ---- the networks


class PerceptronNet(nn.Module):
    def __init__(self, spec: Perceptron) -> None:
        super().__init__()
        self.spec, self.layers, self.norms, width = spec, nn.ModuleList(), nn.ModuleList(), 4
        self.transposed: list[nn.Linear | None] = []
        for layer in spec.layers:
            before = [m for m in self.layers if isinstance(m, nn.Linear)][-1:] if layer.tied else []
            linear, self_transposed = nn.Linear(width, layer.width, layer.bias), None
            if before and before[0].weight.shape == linear.weight.shape:
                linear.weight = before[0].weight
            elif before and before[0].weight.shape == linear.weight.T.shape:
                self_transposed = before[0]
            self.layers.append(linear)
            self.transposed.append(self_transposed)
            self.norms.append(normalisation(layer.norm, layer.width, 1))
            width = layer.width + width if layer.join == "cat" else layer.width
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        for layer, linear, norm, other in zip(self.spec.layers, self.layers, self.norms, self.transposed, strict=True):
            y = linear(x) if other is None else F.linear(x, other.weight.T)
            x = joined(layer.join, x, ACTIVATIONS[layer.act]()(norm(y)))
        return self.head(x)


class ConvolutionalNet(nn.Module):
    def __init__(self, spec: ConvNet) -> None:
        super().__init__()
        self.spec, self.layers, self.norms, width, size = spec, nn.ModuleList(), nn.ModuleList(), 3, 6
        for layer in spec.layers:
            groups = {"depthwise": width, "grouped": 2 if width % 2 == 0 else 1}.get(layer.groups, 1)
            out = width if layer.groups == "depthwise" else layer.width * groups
            stride = layer.stride if layer.join == "none" else 1
            self.layers.append(nn.Conv2d(width, out, 3, stride, 1, groups=groups))
            self.norms.append(normalisation(layer.norm, out, 2))
            width = out + width if layer.join == "cat" else out
            size = (size + 1) // stride if stride == 2 else size
        self.head = nn.Linear(width * size * size if spec.flatten else width, 2)

    def forward(self, x: Tensor) -> Tensor:
        for layer, conv, norm in zip(self.spec.layers, self.layers, self.norms, strict=True):
            x = joined(layer.join, x, ACTIVATIONS[layer.act]()(norm(conv(x))))
            if layer.shuffled and x.shape[1] % 2 == 0:
                x = x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
        return self.head(x.flatten(1) if self.spec.flatten else x.mean((2, 3)))


class TransformerNet(nn.Module):
    def __init__(self, spec: Transformer) -> None:
        super().__init__()
        self.spec = spec
        self.tokens, self.places = nn.Embedding(7, spec.width), nn.Embedding(5, spec.width)
        blocks = [TransformerBlock(spec.width, block) for block in spec.blocks]
        self.blocks = nn.ModuleList([blocks[0]] * len(blocks) if spec.shared else blocks)
        self.head = nn.Linear(spec.width, 7, bias=False)
        if spec.tied_head:
            self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        if self.spec.positions:
            x = x + self.places(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class TransformerBlock(nn.Module):
    def __init__(self, width: int, spec: Block) -> None:
        super().__init__()
        self.spec = spec
        self.q = nn.Linear(width, spec.heads * spec.size)
        self.k = nn.Linear(width, spec.key_heads * spec.size)
        self.v = nn.Linear(width, spec.key_heads * spec.size)
        self.o = nn.Linear(spec.heads * spec.size, width)
        self.up, self.down = nn.Linear(width, spec.hidden), nn.Linear(spec.hidden, width)
        self.gate = nn.Linear(width, spec.hidden) if spec.gated else None
        self.norms = nn.ModuleList(
            [nn.LayerNorm(width) if spec.norm == "layer" else nn.RMSNorm(width) for _ in range(2)]
        )

    def forward(self, x: Tensor) -> Tensor:
        for norm, part in zip(self.norms, (self.attention, self.feed_forward), strict=True):
            x = x + part(norm(x)) if self.spec.norm_first else norm(x + part(x))
        return x

    def attention(self, x: Tensor) -> Tensor:
        q, k, v = (m(x).unflatten(-1, (-1, self.spec.size)).transpose(1, 2) for m in (self.q, self.k, self.v))
        repeats = self.spec.heads // self.spec.key_heads
        k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
        return self.o(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))

    def feed_forward(self, x: Tensor) -> Tensor:
        h = F.gelu(self.up(x)) if self.gate is None else F.silu(self.gate(x)) * self.up(x)
        return self.down(h)


def joined(how: str, x: Tensor, y: Tensor) -> Tensor:
    if how == "cat":
        return torch.cat([x, y], 1)
    return x + y if how == "add" and x.shape == y.shape else y


def normalisation(name: str, width: int, rank: int) -> nn.Module:
    if name == "batch":
        return nn.BatchNorm1d(width) if rank == 1 else nn.BatchNorm2d(width)
    if name == "group":
        return nn.GroupNorm(2 if width % 2 == 0 else 1, width)
    return nn.Identity()


# ---- what is drawn

widths, joins, norms = (
    st.integers(1, 6),
    st.sampled_from(["none", "add", "cat"]),
    st.sampled_from(["none", "batch", "group"]),
)
acts = st.sampled_from(sorted(ACTIVATIONS))
perceptrons = st.builds(
    Perceptron,
    st.lists(st.builds(Dense, widths, norms, acts, joins, st.booleans(), st.booleans()), max_size=4).map(tuple),
)
convolutions = st.builds(
    Conv,
    widths,
    st.sampled_from(["one", "depthwise", "grouped"]),
    norms,
    acts,
    joins,
    st.integers(1, 2),
    st.booleans(),
)
convnets = st.builds(ConvNet, st.lists(convolutions, min_size=1, max_size=4).map(tuple), st.booleans())


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    key_heads = draw(st.integers(1, 2))
    heads = key_heads * draw(st.integers(1, 2))
    return Block(
        heads,
        key_heads,
        draw(st.integers(1, 3)),
        draw(widths),
        draw(st.booleans()),
        draw(st.sampled_from(["layer", "rms"])),
        draw(st.booleans()),
    )


transformers = st.builds(
    Transformer,
    st.integers(2, 6),
    st.lists(blocks(), min_size=1, max_size=2).map(tuple),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
networks = st.one_of(perceptrons, convnets, transformers)
QUICK = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)


def check(network: Perceptron | ConvNet | Transformer, scale: bool = False) -> None:
    """Rare combinations (a tied layer twice in one concatenation, groups of one channel) may be pinned, never wrong."""
    torch.manual_seed(0)
    module, inputs = network.build()
    certificate = graphs.certify(module, *inputs, scale=scale)
    assert certificate.max_error < 1e-10
    event("pinned" if certificate.pinned else "nothing pinned")


@given(networks)
@settings(QUICK, max_examples=50)
def test_fifty_random_networks_are_certified(network: Perceptron | ConvNet | Transformer) -> None:
    check(network, scale=isinstance(network, ConvNet))


@pytest.mark.slow
@given(networks)
@settings(QUICK, max_examples=500, derandomize=False, print_blob=True)
def test_five_hundred_random_networks_are_certified(network: Perceptron | ConvNet | Transformer) -> None:
    check(network)
