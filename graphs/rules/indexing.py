"""Reading rows by index: tables of parameters, gathers by constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from graphs.labels import Label, narrow
from graphs.operation import Operation
from graphs.rules import rule


@rule("embedding")
def embedding(op: Operation) -> Label | None:
    """Rows of a table. An index that depends on the input names vocabulary entries, which are pinned."""
    table, indices = op.label("weight"), op["indices"]
    if not op.read(indices).active:
        return _replay(op, "weight", lambda v: torch.nn.functional.embedding(indices, v))
    rows = [c for c in table.columns if 0 in c.dims]
    for column in rows:
        op.algebra.classes.pin(op.algebra.classes.roots(column.ids))
    if table.parameters:
        axes = frozenset(s[1:] for c in rows for s in c.sources if s[0] == "axis")
        op.weigh("weight", axes, vocabulary=True)
    rank = op.out.dim()
    spread = lambda v: v.reshape((1,) * (rank - 1) + (v.shape[-1],))  # noqa: E731
    columns = tuple(replace(c, ids=spread(c.ids)) for c in table.columns if 0 not in c.dims)
    chosen = op.read(indices).map(lambda v: v.unsqueeze(-1))
    return op.join([chosen, replace(table, positions=(), columns=columns)])


@rule("index", "_unsafe_index")
def index(op: Operation) -> Label | None:
    chosen = op["indices"]
    if any(i is not None and op.read(i).active for i in chosen):
        return None
    return _replay(op, "self", lambda v: v[tuple(slice(None) if i is None else i for i in chosen)])


@rule("index_select")
def index_select(op: Operation) -> Label | None:
    if op.read(op["index"]).active:
        return None
    return _replay(op, "self", lambda v: v.index_select(op["dim"], op["index"]))


@rule("gather")
def gather(op: Operation) -> Label | None:
    if op.read(op["index"]).active:
        return None
    return _replay(op, "self", lambda v: v.gather(op["dim"], op["index"]))


def _replay(op: Operation, argument: str, move: Callable[[Tensor], Tensor]) -> Label:
    """The same rows of the labels. Slots of a parameter that were not read are pinned: nothing tells them apart."""
    source = op[argument]
    label = op.label(argument)
    moved = label.map(lambda v: narrow(move(v.expand(source.shape).contiguous())))
    for before, after in zip(label.columns, moved.columns, strict=True):
        op.algebra.classes.mark_part(before.ids, after.ids)
        unread = before.ids[~torch.isin(before.ids, after.ids)]
        if label.parameters and unread.numel():
            op.algebra.classes.pin(unread)
    return moved
