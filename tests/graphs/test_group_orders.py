"""Orders of permutation groups, counted by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from nets import Net, assert_group
from torch import Tensor, nn

import graphs

TOKENS = (torch.randn(2, 5, 4),)
IMAGE = (torch.randn(2, 3, 16, 16),)


def test_mlp() -> None:
    net = nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 2))
    assert_group(net, TOKENS, 7, 5)


def test_cnn() -> None:
    net = nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(125, 8), nn.ReLU()),
        nn.Linear(8, 2),
    )
    assert_group(net, IMAGE, 6, 5, 8)


class Basic(nn.Module):
    """The block of ResNet-18."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.m, self.n = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        short = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.short = nn.Identity() if stride == 1 else short

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.short(x) + self.n(self.b(F.relu(self.m(self.a(x))))))


def test_resnet18() -> None:
    """Four stages of two blocks, an eighth as wide as usual: a stage has one stream and two inner widths."""
    widths, blocks = [8, 16, 32, 64], []
    for into, out in zip([8, *widths], widths, strict=False):
        blocks += [Basic(into, out, 1 + (into < out)), Basic(out, out, 1)]
    stem = [nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    net = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 2))
    assert_group(net, (torch.randn(1, 3, 32, 32),), *[n for n in widths for _ in range(3)])


def attention(n: Net, x: Tensor, kv: int, queries: int, width: int) -> Tensor:
    """Rotary attention in which ``queries`` heads share a head of keys and values."""

    def heads(t: Tensor, count: int) -> Tensor:
        return t.unflatten(-1, (count, width)).transpose(1, 2)

    def turned(t: Tensor) -> Tensor:
        angle = torch.arange(t.shape[-2]).to(t)[:, None] * 0.5 ** torch.arange(width // 2).to(t).repeat(2)
        half = torch.cat([-t[..., width // 2 :], t[..., : width // 2]], -1)
        return t * angle.cos() + half * angle.sin()

    q, k = turned(heads(n.q(x), kv * queries)), turned(heads(n.k(x), kv))
    k, v = (t[:, :, None].expand(-1, -1, queries, -1, -1).flatten(1, 2) for t in (k, heads(n.v(x), kv)))
    return n.p(((q @ k.mT).softmax(-1) @ v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize(("kv", "queries"), [(2, 2), (3, 2), (2, 3), (1, 4), (4, 1)])
def test_llama(kv: int, queries: int) -> None:
    """The stream (8), the gated MLP (10), heads of keys and values, query heads of each, value neurons of each. Rotary
    frequencies fix queries and keys, two by two, up to nothing."""
    width = 4

    def forward(n: Net, x: Tensor) -> Tensor:
        h = n.e(x)
        h = h + attention(n, n.a(h), kv, queries, width)
        g = n.b(h)
        return n.o(n.c(h + n.down(F.silu(n.gate(g)) * n.up(g))))

    def linear(into: int, out: int) -> nn.Linear:
        return nn.Linear(into, out, bias=False)

    inner = kv * queries * width
    net = Net(
        forward,
        **{name: nn.RMSNorm(8) for name in "abc"},
        **{"e": linear(4, 8), "q": linear(8, inner), "k": linear(8, kv * width), "v": linear(8, kv * width)},
        **{"p": linear(inner, 8), "gate": linear(8, 10), "up": linear(8, 10), "down": linear(10, 8), "o": linear(8, 2)},
    )
    assert_group(net, TOKENS, 8, 10, kv, *[queries] * kv, *[width] * kv)


def test_gpt2() -> None:
    """Two blocks: the stream, and of each block the MLP, the heads, and in each head queries with keys, and values."""
    net = graphs.Recipe("gpt", {"vocabulary": 12, "context": 6, "width": 12, "heads": 3}).build()
    block = [48, 3, 4, 4, 4, 4, 4, 4]
    assert_group(net, (torch.randint(0, 12, (2, 6)),), 12, *block, *block)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent(kind: type, both: bool) -> None:
    """The hidden units of every layer and direction; the gates of a unit move with it."""
    net = Net(
        lambda n, x: n.o(n.r(x)[0]),
        r=kind(4, 5, 2, batch_first=True, bidirectional=both),
        o=nn.Linear(5 * (1 + both), 2),
    )
    assert_group(net, TOKENS, *[5] * 2 * (1 + both))


@pytest.mark.parametrize("both", [False, True])
def test_projected_lstm(both: bool) -> None:
    """Cells and projected outputs of every layer and direction."""
    rnn = nn.LSTM(4, 5, 2, batch_first=True, proj_size=3, bidirectional=both)
    net = Net(lambda n, x: n.o(n.r(x)[0]), r=rnn, o=nn.Linear(3 * (1 + both), 2))
    assert_group(net, TOKENS, *[5, 3] * 2 * (1 + both))


def test_mixer() -> None:
    """Channels, the neurons of both MLPs of both blocks. Tokens are positions of the image."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.LayerNorm(8), nn.LayerNorm(8)
            self.tokens = nn.Sequential(nn.Linear(16, 6), nn.GELU(), nn.Linear(6, 16))
            self.channels = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.tokens(self.a(x).mT).mT
            return x + self.channels(self.b(x))

    net = Net(
        lambda n, x: n.o(n.n(n.b(n.a(n.p(x).flatten(2).mT))).mean(1)),
        p=nn.Conv2d(3, 8, 4, 4),
        a=Block(),
        b=Block(),
        n=nn.LayerNorm(8),
        o=nn.Linear(8, 2),
    )
    assert_group(net, IMAGE, 8, 6, 12, 6, 12)


@pytest.mark.parametrize("kind", [nn.GRUCell, nn.RNNCell])
def test_a_cell_writes_over_what_its_weights_alone_gave(kind: type) -> None:
    """From a state of zeros: the hidden units, and the columns that only zeros meet."""
    net = Net(lambda n, x: n.o(n.r(x, x.new_zeros(2, 5))), r=kind(4, 5), o=nn.Linear(5, 2))
    assert_group(net, (torch.randn(2, 4),), 5, 5)
