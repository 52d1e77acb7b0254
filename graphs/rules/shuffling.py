"""Channels traded for space: what a channel axis holds beside its neurons is a position, or the other way round."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from graphs.labelling.labels import Label, grid, narrow, support
from graphs.labelling.operation import Operation
from graphs.rules import rule
from graphs.rules.mixing import collapse


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(op: Operation) -> Label:
    shape = op["self"].shape
    return op.label("self").map(lambda v: narrow(torch.channel_shuffle(v.expand(shape).contiguous(), op["groups"])))


@rule("pixel_unshuffle")
def pixel_unshuffle(op: Operation) -> Label:
    """``[.., c, h r, w r] -> [.., c r r, h, w]``."""
    return _gather_space(op, op["downscale_factor"] ** 2, space=2)


@rule("im2col")
def im2col(op: Operation) -> Label:
    """``[.., c, h, w] -> [.., c k k, places]``."""
    side = op["kernel_size"]
    return _gather_space(op, side[0] * side[1], space=1)


def _gather_space(op: Operation, taps: int, space: int) -> Label:
    """``taps`` positions of every channel become channels; ``space`` dimensions are left."""
    shape, rank = op["self"].shape, op.out.dim()
    x = collapse(op, op.label("self"), shape, [-1, -2])
    channel = len(shape) - 3
    kept = tuple(p for p in x.positions if channel not in support(p))
    known = len(kept) < len(x.positions)

    def view(v: Tensor) -> Tensor:
        v = v.flatten(channel)
        v = v.repeat_interleave(taps, channel) if v.shape[channel] > 1 else v
        return v.reshape(*v.shape, *[1] * space)

    moved = replace(x, positions=kept).map(view)
    tap = torch.arange(op.out.shape[channel])
    tap = (tap if known else tap % taps).view([-1 if d == channel else 1 for d in range(rank)])
    over = tuple(range(rank - space, rank))
    return replace(moved, positions=(*moved.positions, tap, *grid(op.out.shape, over)))


@rule("pixel_shuffle")
def pixel_shuffle(op: Operation) -> Label:
    """``[.., c r r, h, w] -> [.., c, h r, w r]``."""
    *outer, channels, height, width = op["self"].shape
    taps = op["upscale_factor"] ** 2
    return _spread_channels(op, [*outer, channels // taps, taps, height, width])


@rule("col2im")
def col2im(op: Operation) -> Label:
    """``[.., c k k, places] -> [.., c, h, w]``."""
    *outer, channels, places = op["self"].shape
    taps = op["kernel_size"][0] * op["kernel_size"][1]
    return _spread_channels(op, [*outer, channels // taps, taps, places])


def _spread_channels(op: Operation, split: list[int]) -> Label:
    """All that follows the channel axis in ``split`` becomes space."""
    shape, rank = op["self"].shape, op.out.dim()
    x = op.label("self").map(lambda v: narrow(v.expand(shape).reshape(split)))
    x = collapse(op, x, split, range(rank - 2, len(split)))
    x = x.map(lambda v: v.reshape(*v.shape[: rank - 2], 1, 1))
    return replace(x, positions=(*x.positions, *grid(op.out.shape, (rank - 2, rank - 1))))
