"""Convolutions of any rank, stride and number of groups: a contraction over channels, repeated at every position."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from graphs.labelling.classes import Axis
from graphs.labelling.labels import Column, Label, align, grid, narrow
from graphs.labelling.operation import Operation
from graphs.rules import rule
from graphs.rules.mixing import collapse


@rule("convolution")
def convolution(op: Operation) -> Label:
    """``[batch, in, *space]`` with ``[out, in / groups, *taps]``, or ``[in, out / groups, *taps]`` transposed."""
    groups, transposed, rank = op["groups"], op["transposed"], op["input"].dim()
    first, second = op["weight"].shape[0] // groups, op["weight"].shape[1]
    inputs, outputs = (first, second) if transposed else (second, first)
    alone = None  # the axis of a kernel that has one channel a group on one side, where the other has several
    if groups > 1 and (first > 1 or second > 1):
        alone = op.split_axis("weight", 1, groups)
    x = _channels(op, groups, inputs)
    w = _kernel(op, groups, (first, second), alone)
    product = op.join([x, align(w, 4)], 4)
    read = frozenset(("axis", *a) for a in op.edges.get("weight", ()))
    if groups > 1 and inputs == 1 and read:
        op.algebra.contracted += [Column(c.ids, c.sources | read) for c in x.columns]
    product = op.reduce(product, [3], keepdim=False)  # [batch, group, output channel of the group]
    written = replace(w, positions=(), columns=tuple(c for c in w.columns if 2 not in c.dims))
    product = op.join([product, written.map(lambda v: v.reshape(v.shape[:2]) if v.shape[2] == 1 else v)], 3)
    out = product.map(lambda v: _flatten_groups(v, groups, outputs, rank))
    out = replace(out, positions=(*out.positions, *grid(op.out.shape, {0, *range(2, rank)})))
    if op.has("bias"):
        out = op.join([out, op.label("bias").map(lambda v: v.reshape(1, -1, *[1] * (rank - 2)))])
    return out


def _channels(op: Operation, groups: int, inputs: int) -> Label:
    """The input as [batch, group, 1, channel of the group]."""
    x = collapse(op, op.label("input"), op["input"].shape, range(2, op["input"].dim()))
    x = op.compounds.together(x, 1, op.module)

    def view(v: Tensor) -> Tensor:
        flat = v.reshape(v.shape[:2])
        if flat.shape[1] == 1:
            return flat.reshape(-1, 1, 1, 1)
        return narrow(flat.reshape(flat.shape[0], groups, 1, inputs))

    return x.map(view)


def _kernel(op: Operation, groups: int, sides: tuple[int, int], alone: Axis | None) -> Label:
    """The weight as [group, output channel, input channel]; kernel positions are pinned taps."""
    w, weight = op.label("weight"), op["weight"]
    taps = range(2, weight.dim())
    for column in w.columns:
        if column.dims and column.dims <= set(taps):
            op.algebra.classes.pin(op.algebra.classes.roots(column.ids))
    w = replace(w, columns=tuple(c for c in w.columns if not c.dims or not c.dims <= set(taps)))
    w = collapse(op, w, weight.shape, taps)
    if w.parameters:
        own = {alone} if alone is not None and not op["transposed"] else set()
        op.weigh("weight", _read_axes(w.columns, op["transposed"], sides) | own)

    def view(v: Tensor) -> Tensor:
        v = v.reshape(v.shape[:2]).expand(weight.shape[:2]).reshape(groups, *sides)
        return narrow(v.transpose(1, 2) if op["transposed"] else v)

    return w.map(view)


def _read_axes(columns: tuple[Column, ...], transposed: bool, sides: tuple[int, int]) -> frozenset[Axis]:
    """The axes of input channels; none where each channel has a kernel of its own."""
    if transposed:
        reading = [c for c in columns if 0 in c.dims] if max(sides) > 1 else []
        return frozenset(s[1:] for c in reading for s in c.sources if s[0] == "axis" and s[2] != 1)
    reading = [c for c in columns if 1 in c.dims]
    return frozenset(s[1:] for c in reading for s in c.sources if s[0] == "axis" and s[2] != 0)


def _flatten_groups(v: Tensor, groups: int, per_group: int, rank: int) -> Tensor:
    """[batch, group, output channel] as the channel axis of the output."""
    channels = v.expand(v.shape[0], groups, per_group).reshape(v.shape[0], groups * per_group)
    return narrow(channels.reshape(*channels.shape, *[1] * (rank - 2)))
