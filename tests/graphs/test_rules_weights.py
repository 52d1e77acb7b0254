"""Weights of every shape: transposed, grouped and depthwise kernels, stacked layers, parametrised weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from nets import Net, assert_group, table
from torch import Tensor, nn

import graphs

VECTORS = (torch.randn(3, 4),)
TOKENS = (torch.randn(2, 5, 4),)
IMAGE = (torch.randn(2, 3, 8, 8),)
SIGNAL = (torch.randn(2, 4, 6),)


def between(layer: nn.Module) -> nn.Module:
    """A layer of 4 channels to as many as it has between two pointwise convolutions."""
    out = layer.out_channels
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), layer, nn.ReLU(), nn.Conv2d(out, 2, 1))  # type: ignore[arg-type]


KERNELS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "transposed": (nn.ConvTranspose2d(4, 5, 3, stride=2), (4, 5)),
    "transposed in groups": (nn.ConvTranspose2d(4, 6, 3, groups=2), (2, 2, 2, 3, 3)),
    "transposed depthwise": (nn.ConvTranspose2d(4, 4, 3, groups=4), (4,)),
    "transposed depthwise, three each": (nn.ConvTranspose2d(4, 12, 3, groups=4), (4, 3, 3, 3, 3)),
    "transposed to one a group": (nn.ConvTranspose2d(4, 2, 3, groups=2), (2, 2, 2)),
    "in groups": (nn.Conv2d(4, 6, 3, groups=2), (2, 2, 2, 3, 3)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), (4,)),
    "depthwise, three each": (nn.Conv2d(4, 12, 3, groups=4), (4, 3, 3, 3, 3)),
    "to one a group": (nn.Conv2d(4, 2, 3, groups=2), (2, 2, 2)),
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels(name: str) -> None:
    layer, sizes = KERNELS[name]
    assert_group(between(layer), IMAGE, *sizes)


@pytest.mark.parametrize("dims", [1, 3])
def test_transposed_kernels_of_other_ranks(dims: int) -> None:
    into, back = ((nn.Conv1d, nn.ConvTranspose1d), (nn.Conv3d, nn.ConvTranspose3d))[dims // 2]
    net = nn.Sequential(into(2, 4, 1), nn.ReLU(), back(4, 5, 2), nn.ReLU(), into(5, 2, 1))
    assert_group(net, (torch.randn(2, 2, *[3] * dims),), 4, 5)


def test_flattened_groups() -> None:
    grouped = nn.Conv2d(8, 8, 3, groups=4)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), grouped, nn.ReLU(), nn.Flatten(), nn.Linear(128, 2))
    assert_group(net, IMAGE, 4, 2, 2, 2, 2, 2, 2, 2, 2)


NORMS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight norm": nn.utils.parametrizations.weight_norm,
    "spectral norm": nn.utils.parametrizations.spectral_norm,
    "hook of spectral norm": nn.utils.spectral_norm,
}


@pytest.mark.parametrize("name", NORMS)
def test_parametrised_weights(name: str) -> None:
    norm = NORMS[name]
    assert_group(nn.Sequential(norm(nn.Linear(4, 8)), nn.ReLU(), nn.Linear(8, 2)), VECTORS, 8)
    assert_group(between(norm(nn.Conv2d(4, 5, 3))), IMAGE, 4, 5)


def test_weight_norm_of_positions_in_groups() -> None:
    """One norm a tap over all groups (the positions of wav2vec 2): input channels of the groups move as one."""
    layer = nn.utils.parametrizations.weight_norm(nn.Conv1d(8, 8, 3, groups=4), dim=2)
    net = nn.Sequential(nn.Conv1d(4, 8, 1), layer, nn.GELU(), nn.Conv1d(8, 2, 1))
    assert_group(net, SIGNAL, 4, 2, 2, 2, 2, 2)


def test_weights_whose_taps_are_neurons() -> None:
    """A kernel cut out of another parameter: channels and taps of one axis."""
    net = Net(
        lambda n, x: n.o(F.relu(F.conv1d(F.relu(n.i(x)), n.w.view(5, 6, 3)))),
        i=nn.Conv1d(4, 6, 1),
        w=table(5, 18),
        o=nn.Conv1d(5, 2, 1),
    )
    certificate = graphs.certify(net, *SIGNAL)
    assert certificate.max_error < 1e-10


def test_stacked_weights() -> None:
    """Each of three layers side by side has neurons of its own; the layers permute."""
    net = Net(
        lambda n, x: n.o(torch.bmm(F.relu(torch.bmm(x.expand(3, -1, -1), n.u)), n.d).sum(0)),
        u=table(3, 4, 6),
        d=table(3, 6, 5),
        o=nn.Linear(5, 2),
    )
    assert_group(net, VECTORS, 3, 6, 6, 6, 5)


def test_two_axes_of_a_parameter_are_one_of_neurons() -> None:
    net = Net(
        lambda n, x: n.o(torch.tanh(n.i(x).view(2, 5, 2, 3) + n.b).flatten(2)),
        i=nn.Linear(4, 6),
        b=table(2, 3),
        o=nn.Linear(6, 2),
    )
    assert_group(net, TOKENS, 6)


def test_bilinear() -> None:
    """The second operand is fixed: an edge has one source."""
    net = Net(lambda n, x: n.o(n.b(n.l(x), n.r(x))), l=nn.Linear(4, 5), r=nn.Linear(4, 6), b=nn.Bilinear(5, 6, 7))
    net.o = nn.Linear(7, 2)
    assert_group(net, VECTORS, 5, 7, pinned=6)


def scanned(n: Net, x: Tensor) -> Tensor:
    """A state of 6 x 3: the parameter A meets the neurons of two places."""
    h, u, b, c, out = x.new_zeros(2, 6, 3), n.i(x), n.b(x), n.c(x), []
    for t in range(x.shape[1]):
        h = h * torch.exp(n.a) + u[:, t, :, None] * b[:, t, None, :]
        out.append((h * c[:, t, None, :]).sum(-1))
    return n.o(torch.stack(out, 1))


def test_state_of_a_scan() -> None:
    net = Net(scanned, i=nn.Linear(4, 6), a=table(6, 3), b=nn.Linear(4, 3), c=nn.Linear(4, 3), o=nn.Linear(6, 2))
    assert_group(net, TOKENS, 6, 3)


@pytest.mark.parametrize("queries", [1, 3])
def test_learned_queries(queries: int) -> None:
    """8 of the stream, 8 of the output, 2 heads of 4 twice (queries with keys, values)."""
    net = Net(
        lambda n, x: n.o(n.a(n.q.expand(2, -1, -1), n.i(x), n.i(x), need_weights=False)[0]),
        i=nn.Linear(4, 8),
        q=table(1, queries, 8),
        a=nn.MultiheadAttention(8, 2, batch_first=True),
        o=nn.Linear(8, 2),
    )
    assert_group(net, TOKENS, 8, 8, 2, 4, 4, 4, 4)
