"""Parts laid along one axis: concatenation, stacking, padding with a constant."""

from __future__ import annotations

import torch
from torch import Tensor

from graphs.labelling.labels import Column, Label, grid, narrow, support
from graphs.labelling.operation import Operation
from graphs.rules import rule
from graphs.rules.mixing import mix


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
    return concatenate(op, list(zip(labels, sizes, strict=True)), dim)


def concatenate(op: Operation, kept: list[tuple[Label, int]], dim: int) -> Label:
    """Parts of these sizes, one after the other along ``dim``."""
    active = any(label.active for label, _ in kept)
    return Label(
        positions=_positions(op, kept, dim),
        columns=_columns(op, kept, dim),
        unit=frozenset().union(*(label.unit for label, _ in kept)),
        parameters=frozenset() if active else frozenset().union(*(label.parameters for label, _ in kept)),
        active=active,
    )


def _columns(op: Operation, parts: list[tuple[Label, int]], dim: int) -> tuple[Column, ...]:
    """One column for the columns of the parts that vary alike aside from ``dim``."""
    alike: list[dict[tuple, Column]] = []
    for label, _ in parts:
        known: dict[tuple, Column] = {}
        for column in label.columns:
            aside = tuple(sorted(column.dims - {dim}))
            known[aside, sum(key[0] == aside for key in known)] = column
        alike.append(known)
    keys = dict.fromkeys(key for known in alike for key in known)
    return tuple(_column(op, [known.get(key) for known in alike], [n for _, n in parts], dim) for key in keys)


def _column(op: Operation, columns: list[Column | None], sizes: list[int], dim: int) -> Column:
    """The neuron ids of every part, one after the other. A part without neurons is named by those of the others, or by
    pinned ones where the others have them along ``dim`` alone."""
    present = [c for c in columns if c is not None]
    along = any(dim in c.dims for c in present)
    shape = torch.broadcast_shapes(*(_without(c.ids, dim) for c in present))

    def ids(column: Column | None, n: int) -> Tensor:
        if column is None and all(n == 1 for n in shape):
            return _pinned_ids(op, dim, n if along else 1)
        return present[0].ids.narrow(dim, 0, 1) if column is None else column.ids

    laid = [ids(c, n).expand(_with(shape, dim, n)) for c, n in zip(columns, sizes, strict=True)]
    return Column(narrow(torch.cat(laid, dim)), frozenset().union(*(c.sources for c in present)))


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
        axes = {axis for c in columns for axis in classes.axes(c.ids)}
        if len(columns) != 1 or not axes or axes & seen:
            return False
        seen |= axes
    return True


def _without(ids: Tensor, dim: int) -> tuple[int, ...]:
    return tuple(1 if d == dim else n for d, n in enumerate(ids.shape))


def _with(shape: torch.Size, dim: int, n: int) -> list[int]:
    return [n if d == dim else m for d, m in enumerate(shape)]


@rule("constant_pad_nd")
def pad(op: Operation) -> Label | None:
    """Constants around positions; around neurons they are pinned ones."""
    x, shape, rank = op.label("self"), list(op["self"].shape), op.out.dim()
    sides = {rank - 1 - i // 2: tuple(op["pad"][i : i + 2]) for i in range(0, len(op["pad"]), 2)}
    sides = {d: side for d, side in sides.items() if any(side)}
    neurons = {d for d in sides if any(d in c.dims for c in x.columns)}
    if any(n < 0 for d in neurons for n in sides[d]):
        return None
    for d in sides.keys() - neurons:
        shape[d] = op.out.shape[d]
    x = mix(op, x, sides.keys() - neurons, shape)
    for d in neurons:
        before, after = sides[d]
        x = concatenate(op, [(part, n) for part, n in [(Label(), before), (x, shape[d]), (Label(), after)] if n], d)
    return x
