"""Copies that move elements: the same move is made on the labels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from graphs.labels import Column, Label, align, grid, narrow, support
from graphs.operation import Operation
from graphs.rules import rule


@rule("clone", "_to_copy", "contiguous", "_unsafe_view", "lift_fresh", "_reshape_copy", "alias_copy", "detach_copy")
def reshape(op: Operation) -> Label:
    source = op["self"]
    return op.label("self").map(lambda v: narrow(v.expand(source.shape).reshape(op.out.shape)))


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
    shape = (1,) * (rank - op["self"].dim()) + tuple(op["self"].shape)
    return align(op.label("self"), rank).map(lambda v: narrow(v.expand(shape).repeat(op["repeats"])))


def _replay(op: Operation, move) -> Label:
    shape = op["self"].shape
    return op.label("self").map(lambda v: narrow(move(v.expand(shape))))


@rule("constant_pad_nd")
def pad(op: Operation) -> Label | None:
    """Padding of positions; a padded neuron axis would need neurons of its own."""
    x, rank = op.label("self"), op.out.dim()
    padded = {rank - 1 - i // 2 for i, n in enumerate(op["pad"]) if n}
    if any(c.dims & padded for c in x.columns):
        return None
    mixed = {d for p in x.positions if support(p) & padded for d in support(p)}
    kept = tuple(p for p in x.positions if not support(p) & padded)
    return replace(x, positions=(*kept, *grid(op.out.shape, padded | mixed)))


@rule("cat", "stack")
def cat(op: Operation) -> Label:
    """Parts laid along one axis. Parts that share neurons, or have none, are told apart by a position. A part without
    elements may have any number of dimensions (the empty cache of a transformer) and adds nothing."""
    tensors, dim = [t for t in op["tensors"] if t.numel()], op.arguments.get("dim", 0) % op.out.dim()
    if not tensors:
        return Label(active=any(op.read(t).active for t in op["tensors"]))
    labels = [op.read(t) for t in tensors]
    if op.name == "stack":
        labels = [label.map(lambda v: v.unsqueeze(dim)) for label in labels]
    sizes = [1 if op.name == "stack" else t.shape[dim] for t in tensors]
    kept = list(zip(labels, sizes, strict=True))
    active = any(label.active for label, _ in kept)
    return Label(
        positions=_positions(op, kept, dim),
        columns=tuple(_column(op, kept, dim, j) for j in range(max(len(label.columns) for label, _ in kept))),
        unit=frozenset().union(*(label.unit for label, _ in kept)),
        parameters=frozenset() if active else frozenset().union(*(label.parameters for label, _ in kept)),
        active=active,
    )


def _column(op: Operation, parts: list[tuple[Label, int]], dim: int, j: int) -> Column:
    """The j-th neuron id of every part, one after the other; a part without neurons gets pinned ones."""
    present = [label.columns[j] for label, _ in parts if j < len(label.columns)]
    along = any(dim in c.dims for c in present)
    columns = [
        label.columns[j] if j < len(label.columns) else Column(_pinned_ids(op, dim, n if along else 1))
        for label, n in parts
    ]
    shape = torch.broadcast_shapes(*(_without(c.ids, dim) for c in columns))
    ids = [c.ids.expand(_with(shape, dim, n)) for c, (_, n) in zip(columns, parts, strict=True)]
    return Column(narrow(torch.cat(ids, dim)), frozenset().union(*(c.sources for c in columns)))


def _pinned_ids(op: Operation, dim: int, count: int) -> Tensor:
    """Fresh neurons along ``dim`` that no symmetry moves (input channels beside hidden ones)."""
    ids = op.algebra.classes.new(count)
    op.algebra.classes.pin(ids)
    return ids.view([count if d == dim else 1 for d in range(op.out.dim())])


def _positions(op: Operation, parts: list[tuple[Label, int]], dim: int) -> tuple[Tensor, ...]:
    aside = [p for label, _ in parts for p in label.positions if dim not in support(p)]
    along = [{d for p in label.positions if dim in support(p) for d in support(p)} for label, _ in parts]
    distinct: list[Tensor] = []
    for p in aside:
        if not any(torch.equal(p, q) for q in distinct):
            distinct.append(p)
    if not any(along) and _disjoint(op, parts, dim):
        return tuple(distinct)
    first, pieces = 0, []
    for dims, (_, n) in zip(along, parts, strict=True):
        pieces.append(torch.arange(first, first + n) if dims else torch.full((n,), first))
        first += n
    vector = torch.cat(pieces).view([-1 if d == dim else 1 for d in range(op.out.dim())])
    others = set().union(*along) - {dim}
    return (*distinct, vector, *grid(op.out.shape, others))


def _disjoint(op: Operation, parts: list[tuple[Label, int]], dim: int) -> bool:
    """Whether the neurons along ``dim`` alone tell which part an element is from: no symmetry maps one part to another
    when they have slots on different parameter axes. Two halves of one axis (rotary pairs) need a position."""
    classes, seen = op.algebra.classes, set()
    for label, _ in parts:
        columns = [c for c in label.columns if dim in c.dims]
        axes = {axis for c in columns for i in torch.unique(c.ids).tolist() for axis in classes.axes(i)}
        if len(columns) != 1 or not axes or axes & seen:
            return False
        seen |= axes
    return True


def _without(ids: Tensor, dim: int) -> tuple[int, ...]:
    return tuple(1 if d == dim else n for d, n in enumerate(ids.shape))


def _with(shape: torch.Size, dim: int, n: int) -> list[int]:
    return [n if d == dim else m for d, m in enumerate(shape)]
