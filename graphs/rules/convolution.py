"""Convolutions of any rank, stride and number of groups: a contraction over channels, repeated at every position."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from graphs.labels import Label, align, grid, narrow
from graphs.operation import Operation
from graphs.rules import rule


@rule("convolution")
def convolution(op: Operation) -> Label | None:
    if op["transposed"]:
        return None
    groups, weight = op["groups"], op["weight"]
    rank = op["input"].dim()
    if groups > 1:
        op.split_axis("weight", 1, groups)
    x = _channels(op, op.label("input"), groups, op["input"].shape[1])
    w = _kernel(op, op.label("weight"), groups, weight)
    product = op.join([x, align(w, 4)], 4)
    product = op.reduce(product, [3], keepdim=False)  # [batch, group, output channel of the group]
    out = product.map(lambda v: _flatten_groups(v, groups, weight.shape[0] // groups, rank))
    positions = (*out.positions, *grid(op.out.shape, {0, *range(2, rank)}))
    out = replace(out, positions=positions)
    if op.has("bias"):
        bias = op.label("bias").map(lambda v: v.reshape(1, -1, *[1] * (rank - 2)))
        out = op.join([out, bias])
    return out


def _channels(op: Operation, x: Label, groups: int, channels: int) -> Label:
    """The input as [batch, group, 1, channel of the group]; a neuron that varies in space is pinned and dropped."""
    spatial = [c for c in x.columns if c.dims - {0, 1}]
    op.pin(replace(x, columns=tuple(spatial)))
    columns = tuple(c for c in x.columns if not c.dims - {0, 1})
    positions = [p for p in x.positions if not p.shape[2:].numel() > 1]
    if spatial:
        positions += grid((1, channels), {1})

    def view(v: Tensor) -> Tensor:
        flat = v.reshape(v.shape[:2])
        if flat.shape[1] == 1:
            return flat.reshape(-1, 1, 1, 1)
        return narrow(flat.reshape(flat.shape[0], groups, 1, channels // groups))

    return replace(x, columns=columns, positions=tuple(positions)).map(view)


def _kernel(op: Operation, w: Label, groups: int, weight: Tensor) -> Label:
    """The weight as [group, output channel, input channel]; kernel positions are pinned taps."""
    taps = [c for c in w.columns if c.dims - {0, 1}]
    for column in taps:
        op.algebra.classes.pin(op.algebra.classes.roots(column.ids))
    columns = tuple(c for c in w.columns if not c.dims - {0, 1})
    if w.parameters:
        reading = frozenset(s[1:] for c in columns if 1 in c.dims for s in c.sources if s[0] == "axis" and s[2] != 0)
        op.weigh("weight", reading)
    outputs, inputs = weight.shape[:2]

    def view(v: Tensor) -> Tensor:
        v = v.reshape(v.shape[:2]).expand(outputs, inputs)
        return narrow(v.reshape(groups, outputs // groups, inputs))

    positions = tuple(p for p in w.positions if not p.shape[2:].numel() > 1)
    return replace(w, columns=columns, positions=positions).map(view)


def _flatten_groups(v: Tensor, groups: int, per_group: int, rank: int) -> Tensor:
    """[batch, group, output channel] as the channel axis of the output."""
    channels = v.expand(v.shape[0], groups, per_group).reshape(v.shape[0], groups * per_group)
    return narrow(channels.reshape(*channels.shape, *[1] * (rank - 2)))
