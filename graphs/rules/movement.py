"""Copies that move elements: the same move is made on the labels."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from graphs.labelling.labels import Label, align, narrow
from graphs.labelling.operation import Operation
from graphs.rules import rule


@rule("clone", "_to_copy", "contiguous", "_unsafe_view", "lift_fresh", "_reshape_copy", "alias_copy", "detach_copy")
def reshape(op: Operation) -> Label | None:
    """A tensor without elements is labelled like one with some."""
    before, after = ([max(n, 1) for n in tensor.shape] for tensor in (op["self"], op.out))
    if math.prod(before) != math.prod(after):
        return None
    return op.label("self").map(lambda v: narrow(v.expand(before).reshape(after)))


@rule("roll")
def roll(op: Operation) -> Label:
    return _replay(op, lambda v: torch.roll(v, op["shifts"], op["dims"]))


@rule("flip")
def flip(op: Operation) -> Label:
    return _replay(op, lambda v: torch.flip(v, op["dims"]))


@rule("repeat")
def repeat(op: Operation) -> Label:
    """Copies of one element keep one name: they are equal."""
    rank = op.out.dim()
    shape = (1,) * (rank - op["self"].dim()) + tuple(max(n, 1) for n in op["self"].shape)
    return align(op.label("self"), rank).map(lambda v: narrow(v.expand(shape).repeat(op["repeats"])))


def _replay(op: Operation, move: Callable[[Tensor], Tensor]) -> Label:
    shape = [max(n, 1) for n in op["self"].shape]
    return op.label("self").map(lambda v: narrow(move(v.expand(shape))))
