"""Operations along positions leave neurons free; along neurons they fix them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from nets import Net, assert_group, table
from torch import Tensor, nn

TOKENS = (torch.randn(2, 5, 4),)
IMAGE = (torch.randn(2, 3, 8, 8),)
SIGNAL = (torch.randn(2, 3, 9),)


def windows(x: Tensor) -> Tensor:
    """Unfold to columns and fold back."""
    return F.fold(F.unfold(x, 3), (8, 8), 3)


ALONG_TOKENS: dict[str, Callable[[Tensor], Tensor]] = {
    "cumsum": lambda h: h.cumsum(1),
    "cumprod": lambda h: h.tanh().cumprod(1),
    "logcumsumexp": lambda h: h.logcumsumexp(1),
    "cummax": lambda h: h.cummax(1)[0],
    "sort": lambda h: h.sort(1)[0],
    "argsort": lambda h: h.gather(1, h.argsort(1)),
    "topk": lambda h: h.topk(2, 1)[0],
    "kthvalue": lambda h: h.kthvalue(2, 1)[0],
    "median": lambda h: h.median(1)[0],
    "maximum with its place": lambda h: h.max(1)[0] + h.max(1)[1],
    "place of the maximum": lambda h: h * h.argmax(1, keepdim=True),
    "fft": lambda h: torch.fft.irfft(torch.fft.rfft(h, dim=1).abs().sqrt(), n=5, dim=1),
    "complex parts": lambda h: torch.view_as_real(torch.fft.fft(h, dim=1)).select(-1, 1),
    "roll and flip": lambda h: h.roll(1, 1).flip(1),
    "windows of tokens": lambda h: h.unfold(1, 3, 1).amax(-1),
    "shifted by padding": lambda h: F.pad(h, (0, 0, 1, -1)),
    "repeated tokens": lambda h: h.repeat_interleave(2, 1) * torch.arange(10.0).to(h)[:, None],
    "difference": lambda h: h.diff(dim=1),
    "written one by one": lambda h: _written(h),
}


def _written(h: Tensor) -> Tensor:
    out = torch.zeros_like(h)
    for t in range(h.shape[1]):
        out[:, t] = h[:, : t + 1].sum(1)
    return out


@pytest.mark.parametrize("name", ALONG_TOKENS)
def test_along_tokens(name: str) -> None:
    net = Net(lambda n, x: n.o(torch.tanh(ALONG_TOKENS[name](n.i(x)))), i=nn.Linear(4, 6), o=nn.Linear(6, 2))
    assert_group(net, TOKENS, 6)


OVER_SPACE: dict[str, Callable[[Tensor], Tensor]] = {
    "reflection": lambda h: F.pad(h, (1, 1, 1, 1), mode="reflect"),
    "replication": lambda h: F.pad(h, (1, 1, 1, 1), mode="replicate"),
    "circular": lambda h: F.pad(h, (1, 1, 1, 1), mode="circular"),
    "adaptive maximum": lambda h: F.adaptive_max_pool2d(h, 3),
    "adaptive mean": lambda h: F.adaptive_avg_pool2d(h, 3),
    "nearest": lambda h: F.interpolate(h, scale_factor=2),
    "nearest exact": lambda h: F.interpolate(h, scale_factor=2, mode="nearest-exact"),
    "area": lambda h: F.interpolate(h, size=(3, 3), mode="area"),
    "antialias": lambda h: F.interpolate(h, size=(5, 5), mode="bicubic", antialias=True),
    "pool and unpool": lambda h: F.max_unpool2d(*F.max_pool2d(h, 2, return_indices=True), 2),
    "power pooling": lambda h: F.lp_pool2d(h, 2, 2),
    "sampled": lambda h: F.grid_sample(h, torch.linspace(-1, 1, 18).to(h).view(1, 3, 3, 2).expand(2, -1, -1, -1)),
    "windows": windows,
}


@pytest.mark.filterwarnings("ignore:Default grid_sample")
@pytest.mark.parametrize("name", OVER_SPACE)
def test_over_space(name: str) -> None:
    net = Net(lambda n, x: n.o(F.relu(OVER_SPACE[name](n.i(x)))), i=nn.Conv2d(3, 6, 1), o=nn.Conv2d(6, 2, 1))
    assert_group(net, IMAGE, 6)


def test_other_ranks() -> None:
    line = nn.Sequential(
        nn.Conv1d(3, 6, 3),
        nn.ReflectionPad1d(1),
        nn.AdaptiveMaxPool1d(4),
        nn.Upsample(scale_factor=2),
        nn.Conv1d(6, 2, 1),
    )
    assert_group(line, SIGNAL, 6)
    cube = nn.Sequential(
        nn.Conv3d(2, 6, 1), nn.ReplicationPad3d(1), nn.AdaptiveMaxPool3d(2), nn.AdaptiveAvgPool3d(1), nn.Conv3d(6, 2, 1)
    )
    assert_group(cube, (torch.randn(2, 2, 4, 4, 4),), 6)


def test_along_neurons_they_are_fixed_and_reported() -> None:
    for f in (lambda h: h.cumsum(-1), lambda h: h.sort(-1)[0], lambda h: torch.fft.fft(h).real):
        net = Net(lambda n, x, f=f: n.o(torch.tanh(f(n.i(x)))), i=nn.Linear(4, 6), o=nn.Linear(6, 2))
        assert assert_group(net, TOKENS, pinned=6).coverage == 0


def test_pieces_of_a_neuron_keep_their_order() -> None:
    """Maxout returns the place of the maximum too, so the two pieces of a unit do not swap."""
    net = Net(lambda n, x: n.o(n.i(x).view(2, 5, 6, 2).max(-1)[0]), i=nn.Linear(4, 12), o=nn.Linear(6, 2))
    assert_group(net, TOKENS, 6)


def test_frequencies_have_weights() -> None:
    """A filter per frequency and neuron, real or complex."""

    def mixed(n: Net, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(n.i(x), dim=1) * torch.view_as_complex(n.w) * n.a
        return n.o(torch.fft.irfft(spectrum, n=5, dim=1))

    assert_group(Net(mixed, i=nn.Linear(4, 6), w=table(3, 6, 2), a=table(6), o=nn.Linear(6, 2)), TOKENS, 6)


def test_channels_traded_for_space() -> None:
    shuffle = nn.Sequential(nn.Conv2d(3, 12, 3), nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(3, 2, 1))
    assert_group(shuffle, IMAGE, 3)
    back = nn.Sequential(nn.Conv2d(3, 4, 1), nn.PixelUnshuffle(2), nn.ReLU(), nn.Conv2d(16, 2, 1))
    assert_group(back, IMAGE, 4)
    mixed = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ChannelShuffle(2), nn.ReLU(), nn.Conv2d(8, 2, 1))
    assert_group(mixed, IMAGE, 8)
    patches = Net(lambda n, x: n.o(F.relu(F.unfold(n.c(x), 3).mT)), c=nn.Conv2d(3, 4, 1), o=nn.Linear(36, 2))
    assert_group(patches, IMAGE, 4)


def test_padded_neurons_are_pinned_ones() -> None:
    net = Net(lambda n, x: n.b(F.pad(n.a(x), (1, 2))), a=nn.Linear(4, 6), b=nn.Linear(9, 2))
    assert_group(net, TOKENS, 6)
