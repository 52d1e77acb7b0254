"""Rules that are easily unsound: a network is certified, and is refuted once the guard against the mistake is out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nets import Net, table
from torch import Tensor, nn

import graphs
from graphs.assembling.blocks import Locator
from graphs.labelling.classes import count_distinct
from graphs.labelling.labels import Algebra, Label, narrow
from graphs.labelling.operation import Operation
from graphs.labelling.recorder import Recorder
from graphs.refinement import Structure, structure
from graphs.rules import load

RULES = load()


# ---- networks


def rotate_half(net: Net, x: Tensor) -> Tensor:
    """The same axis meets itself in another order; which neurons are a pair follows no order."""
    angle = torch.arange(x.shape[1]).to(x)[:, None]

    def turn(t: Tensor) -> Tensor:
        t = t[..., [0, 3, 4, 7, 1, 2, 5, 6]]
        return t * angle.cos() + torch.cat([-t[..., 4:], t[..., :4]], -1) * angle.sin()

    return net.o((turn(net.q(x)) @ turn(net.k(x)).mT).softmax(-1) @ net.v(x))


def chunks(net: Net, x: Tensor) -> Tensor:
    """Two parts of one parameter axis meet."""
    h = net.w(x)
    return net.d(F.silu(h[..., [0, 3, 4, 7]]) * h[..., [1, 2, 5, 6]])


def mixed_by_a_constant(net: Net, x: Tensor) -> Tensor:
    mixing = torch.tensor([[1.0, 2, 2, 1], [2, 1, 1, 2], [1, 1, 2, 2], [2, 2, 1, 1]]).to(x)
    return net.b(torch.tanh(net.a(x)) @ mixing)


def heads_in_the_batch(net: Net, x: Tensor) -> Tensor:
    h = net.a(x).view(x.shape[0] * 2, 3, *x.shape[2:])
    return net.b(torch.tanh(net.c(h)).view(x.shape[0], 6, *x.shape[2:])).mean((2, 3))


def padded(net: Net, x: Tensor) -> Tensor:
    """A shortcut from the input to more neurons: those that get zeros are not like the first."""
    return net.b(torch.tanh(F.pad(x, (0, 2)) + net.c(x)))


def routed(net: Net, x: Tensor) -> Tensor:
    """The index of a maximum selects an expert."""
    _, best = net.gate(x).max(-1)
    return (net.experts[best] @ net.a(x)[..., None])[..., 0]


def positions(net: Net, x: Tensor) -> Tensor:
    """A probe of three tokens reads three rows of seven."""
    return net.o(torch.tanh(net.e(x) + net.p[: x.shape[1]]))


def overwritten(net: Net, x: Tensor, threshold: Tensor) -> Tensor:
    """A constant that tells neurons apart, of which nothing is left where every neuron is above the threshold."""
    h = net.a(x)
    ramp = torch.arange(6.0).to(x).repeat(len(x), 1)
    ramp.masked_fill_(h > threshold, 0.0)
    return net.b(torch.tanh(h) + ramp)


# ---- mistakes, made in the place of what guards against them


def unite_slots_of_one_axis(patch: pytest.MonkeyPatch) -> None:
    def unitable(a: Tensor, b: Tensor) -> bool:
        return len(a) in (count_distinct(a), count_distinct(b))

    patch.setattr("graphs.labelling.axis_sets.share_axis", lambda a, b: False)
    patch.setattr(Algebra, "_unitable", staticmethod(unitable))


def unite_chunks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("graphs.labelling.axis_sets.share_axis", lambda a, b: False)


def label_constants_by_value(patch: pytest.MonkeyPatch) -> None:
    def by_value(tensor: Tensor) -> Label:
        values = torch.unique(tensor, return_inverse=True)[1].view(tensor.shape)
        return Label(positions=(narrow(values),))

    patch.setattr("graphs.labelling.recorder.constant_label", by_value)
    patch.setattr("graphs.labelling.labels.tangled", lambda *_: frozenset())  # it would catch the mistake as well


def drop_the_batch_axis(patch: pytest.MonkeyPatch) -> None:
    convolve = RULES["convolution"]

    def unsound(op: Operation) -> Label:
        read = op.read
        op.read = lambda t: _without_batch(read(t)) if t is op["input"] else read(t)
        out = convolve(op)
        assert isinstance(out, Label)
        return out

    patch.setitem(RULES, "convolution", unsound)


def _without_batch(label: Label) -> Label:
    return replace(label, columns=tuple(c for c in label.columns if 0 not in c.dims))


def pad_labels_with_zeros(patch: pytest.MonkeyPatch) -> None:
    def unsound(op: Operation) -> Label:
        return op.label("self").map(lambda v: F.pad(v, op["pad"]) if v.shape[-1] > 1 else v)

    patch.setitem(RULES, "constant_pad_nd", unsound)


def reduce_the_index_of_a_maximum(patch: pytest.MonkeyPatch) -> None:
    def unsound(op: Operation) -> list[Label]:
        label = op.reduce(op.label("self"), [op["dim"]], keepdim=op.out.dim() == op["self"].dim())
        return [label for _ in op.outputs]

    patch.setitem(RULES, "max", unsound)


def leave_unread_rows_free(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Recorder, "pin_unread", lambda self: None)
    patch.setattr(Locator, "require_all_movable", lambda self, by_use: None)


def read_after_writing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Recorder, "_labels_before", lambda self, func, tensors: {})


X4, X54, IMAGE = (torch.randn(3, 4),), (torch.randn(2, 5, 4),), (torch.randn(2, 3, 8, 8),)
TOKENS, LONGER = (torch.randint(0, 9, (2, 3)),), (torch.randint(0, 9, (2, 7)),)
QKV = {"q": nn.Linear(4, 8), "k": nn.Linear(4, 8), "v": nn.Linear(4, 8), "o": nn.Linear(8, 2)}
# name -> (network, what it is traced on, what it is compared on, the mistake)
CASES: dict[str, tuple[nn.Module, tuple, list[tuple], Callable[[pytest.MonkeyPatch], None]]] = {
    "two ids of one axis": (Net(rotate_half, **QKV), X54, [], unite_slots_of_one_axis),
    "two slots of one axis": (Net(chunks, w=nn.Linear(4, 8), d=nn.Linear(4, 3)), X54, [], unite_chunks),
    "constants by value": (
        Net(mixed_by_a_constant, a=nn.Linear(4, 4), b=nn.Linear(4, 2)),
        X4,
        [],
        label_constants_by_value,
    ),
    "batch axis of a convolution": (
        Net(heads_in_the_batch, a=nn.Conv2d(3, 6, 1), b=nn.Conv2d(6, 2, 1), c=nn.Conv2d(3, 3, 1)),
        IMAGE,
        [],
        drop_the_batch_axis,
    ),
    "padded labels": (
        Net(padded, c=nn.Linear(4, 6), b=nn.Linear(6, 2)),
        X4,
        [],
        pad_labels_with_zeros,
    ),
    "index of a maximum": (
        Net(routed, gate=nn.Linear(4, 3), experts=table(3, 2, 6), a=nn.Linear(4, 6)),
        X4,
        [],
        reduce_the_index_of_a_maximum,
    ),
    "rows never read": (
        Net(positions, e=nn.Embedding(9, 4), p=table(7, 4), o=nn.Linear(4, 2)),
        TOKENS,
        [LONGER],
        leave_unread_rows_free,
    ),
    "in-place target": (
        Net(overwritten, a=nn.Linear(4, 6), b=nn.Linear(6, 2)),
        (*X4, torch.tensor(-1000.0)),
        [(*X4, torch.tensor(0.0))],
        read_after_writing,
    ),
}


def error(name: str) -> float:
    module, example, inputs, _ = CASES[name]
    return graphs.certify(module, *example, inputs=inputs, trials=5).max_error


@pytest.mark.parametrize("name", CASES)
def test_certified_with_the_guard(name: str) -> None:
    assert error(name) < 1e-12


@pytest.mark.parametrize("name", CASES)
def test_refuted_without_the_guard(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    CASES[name][3](monkeypatch)
    assert error(name) > 1e-3


# ---- the end of colour refinement


def path_graph(length: int) -> Structure:
    """A path, whose only automorphisms are itself and the way back; ends are told from the middle step by step."""
    ends = np.arange(length - 1)
    return structure(np.zeros(length), [(ends, ends + 1, np.ones(length - 1)), (ends + 1, ends, np.ones(length - 1))])


def keeps_edges(path: Structure) -> bool:
    edges = set(zip(path.a.tolist(), path.b.tolist(), strict=True))
    images = [path.random_automorphism(torch.Generator().manual_seed(s))[0] for s in range(10)]
    return all({(int(i[a]), int(i[b])) for a, b in edges} == edges for i in images)


def test_refinement_goes_on_to_the_final_partition() -> None:
    path = path_graph(9)
    assert keeps_edges(path)
    assert 10 ** path.random_automorphism(torch.Generator().manual_seed(0))[1] == pytest.approx(2)


def test_refinement_that_ends_early_draws_what_is_no_automorphism(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round, whatever it finds: the partition that it leaves was never checked."""
    whole = Structure.refine

    def early(self: Structure, colours: np.ndarray) -> np.ndarray:
        heard = replace(self, a=self.a[:0], b=self.b[:0], tag=self.tag[:0])
        return whole(heard, colours)

    monkeypatch.setattr(Structure, "refine", early)
    assert not keeps_edges(path_graph(9))
