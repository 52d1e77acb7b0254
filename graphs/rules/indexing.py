"""Reading rows by index: tables of parameters, gathers by constants and by what the network computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphs.labelling.labels import Label, align, grid, narrow
from graphs.labelling.operation import Operation
from graphs.rules import rule
from graphs.rules.mixing import collapse


@rule("embedding")
def embedding(op: Operation) -> Label | None:
    """Rows of a table. An index that depends on the input names vocabulary entries, which are pinned."""
    table, indices = op.label("weight"), op["indices"]
    if is_constant(op, indices):
        return _replay(op, "weight", lambda v: torch.nn.functional.embedding(indices, v))
    chosen = op.read(indices).map(lambda v: v.unsqueeze(-1))
    return op.join([chosen, table_row(op, table)])


@rule("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(op: Operation) -> list[Label] | None:
    """Sums of rows: one a bag."""
    if any(op.label(n).columns for n in ("indices", "offsets", "per_sample_weights") if op.has(n)):
        return None
    bags = Label(positions=grid(op.out.shape, {0}), active=True)
    out = op.join([bags, table_row(op, op.label("weight"))])
    return [out, *(Label(grid(t.shape, range(t.dim())), active=True) for t in op.outputs[1:])]


def table_row(op: Operation, table: Label) -> Label:
    """Any row of the operand ``weight``, as a last dimension; its rows are vocabulary entries, which are pinned."""
    rows = [c for c in table.columns if c.dims == {0}]
    for column in rows:
        op.algebra.classes.pin(op.algebra.classes.roots(column.ids))
    if table.parameters:
        axes = frozenset(s[1:] for c in rows for s in c.sources if s[0] == "axis")
        op.weigh("weight", axes, vocabulary=True)
    table = replace(table, columns=tuple(c for c in table.columns if c.dims != {0}))
    return collapse(op, table, op["weight"].shape, [0]).map(lambda v: v.reshape(-1))


@dataclass(frozen=True)
class _Selection:
    """``x[..., i, j, ...]`` by index tensors: the dimensions they select and the label of what they tell.

    Args:
        dims: dimensions of x selected, in order.
        label: of the index tensors together, over the dimensions they put in their place.
        rank: how many those are.
        at: where they stand in the output.
    """

    dims: list[int]
    label: Label
    rank: int
    at: int


def selection(op: Operation, indices: list[Tensor | None]) -> _Selection:
    dims, labels, d = [], [], 0
    for index in indices:
        mask = index is not None and index.dtype in (torch.bool, torch.uint8)
        width = index.dim() if mask else 1  # type: ignore[union-attr]
        if index is not None:
            dims += range(d, d + width)
            labels.append(_nonzero(op, index) if mask else op.read(index))
        d += width
    ranks = [1 if i.dtype in (torch.bool, torch.uint8) else i.dim() for i in indices if i is not None]
    apart = [i for i, index in enumerate(indices) if index is not None]
    together = apart == list(range(apart[0], apart[-1] + 1))
    return _Selection(dims, op.join(labels, max(ranks)), max(ranks), dims[0] if together else 0)


def _nonzero(op: Operation, mask: Tensor) -> Label:
    """The list of places where a mask holds, which every element of it decides on."""
    all_of_it = collapse(op, op.read(mask), mask.shape, range(mask.dim()))
    return replace(all_of_it, positions=grid((int(mask.sum()),), {0}), columns=())


@rule("index", "_unsafe_index")
def index(op: Operation) -> Label:
    chosen = op["indices"]
    if all(i is None or is_constant(op, i) for i in chosen):
        return _replay(op, "self", lambda v: v[tuple(slice(None) if i is None else i for i in chosen)])
    found = selection(op, chosen)
    x = collapse(op, op.label("self"), op["self"].shape, found.dims)
    return op.join([rest_of(x, found), place_index(op, found)])


def rest_of(x: Label, found: _Selection) -> Label:
    """What is left of a collapsed tensor, with dimensions of size 1 where the index tensors put theirs."""

    def view(v: Tensor) -> Tensor:
        left = [n for d, n in enumerate(v.shape) if d not in found.dims]
        return v.reshape(left[: found.at] + [1] * found.rank + left[found.at :])

    return x.map(view)


def place_index(op: Operation, found: _Selection) -> Label:
    behind = op.out.dim() - found.at - found.rank
    return found.label.map(lambda v: _widen(v, found.rank, behind))


def _widen(v: Tensor, rank: int, behind: int) -> Tensor:
    return v.reshape((1,) * (rank - v.dim()) + tuple(v.shape) + (1,) * behind)


@rule("index_select")
def index_select(op: Operation) -> Label:
    dim = op["dim"] % max(op["self"].dim(), 1)
    if is_constant(op, op["index"]):
        return _replay(op, "self", lambda v: v.index_select(dim, op["index"]))
    x = collapse(op, op.label("self"), op["self"].shape, [dim])
    chosen = op.label("index").map(lambda v: v.reshape([-1 if d == dim else 1 for d in range(op.out.dim())]))
    return op.join([x, chosen])


@rule("gather")
def gather(op: Operation) -> Label:
    dim, chosen, source = op["dim"], op["index"], op["self"]
    if is_constant(op, chosen):
        return _replay(op, "self", lambda v: v.gather(dim, chosen))
    x = collapse(op, op.label("self"), source.shape, [dim])
    part = [1 if d == dim % source.dim() else n for d, n in enumerate(chosen.shape)]
    return op.join([narrowed(op, x, part), op.label("index")])


def narrowed(op: Operation, x: Label, shape: list[int]) -> Label:
    """The label of the first elements along every dimension."""

    def view(v: Tensor) -> Tensor:
        return narrow(v[tuple(slice(min(n, m)) for n, m in zip(v.shape, shape, strict=True))])

    out = x.map(view)
    for before, after in zip(x.columns, out.columns, strict=True):
        op.algebra.classes.mark_part(before.ids, after.ids)
    return out


@rule("take")
def take(op: Operation) -> Label:
    x = op["self"]
    whole = collapse(op, op.label("self"), x.shape, range(x.dim())).map(lambda v: v.reshape(()))
    return op.join([align(whole, op.out.dim()), op.label("index")])


def is_constant(op: Operation, index: Tensor) -> bool:
    """Whether an index is the same for every input and under every symmetry."""
    label = op.read(index)
    return not label.active and not label.columns


def _replay(op: Operation, argument: str, move: Callable[[Tensor], Tensor]) -> Label:
    """The same rows of the labels. Slots of a parameter that were not read are pinned: nothing tells them apart."""
    source = op[argument]
    label = op.label(argument)
    moved = label.map(lambda v: narrow(move(v.expand(source.shape).contiguous())))
    op.algebra.mark_selection(moved)
    for before, after in zip(label.columns, moved.columns, strict=True):
        op.algebra.classes.mark_part(before.ids, after.ids)
        unread = before.ids[~torch.isin(before.ids, after.ids)]
        if label.parameters and unread.numel():
            op.algebra.classes.pin(unread)
    return moved
