"""Writing rows by index: every position written or left depends on the index, at each index of the other dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from graphs.labelling.labels import Label, align, grid
from graphs.labelling.operation import Operation
from graphs.rules import rule
from graphs.rules.indexing import selection
from graphs.rules.mixing import collapse, mix


@rule("scatter", "scatter_add", "scatter_reduce")
def scatter(op: Operation) -> Label:
    """Along dimensions that the index does not fill, elements are written or not by their position."""
    x, index = op["self"], op["index"]
    dim = op["dim"] % max(x.dim(), 1)
    mixed = {dim} | {d for d in range(x.dim()) if index.shape[d] != x.shape[d]}
    labels = [op.label(n) for n in ("self", "index", "src", "value") if isinstance(op.arguments.get(n), Tensor)]
    return op.join([mix(op, label, mixed, x.shape) for label in labels])


@rule("index_add", "index_copy", "index_reduce", "index_fill")
def index_add(op: Operation) -> Label:
    x = op["self"]
    dim = op["dim"] % max(x.dim(), 1)
    source = next((n for n in ("source", "tensor") if op.has(n)), None)
    labels = [mix(op, op.label(n), [dim], x.shape) for n in ("self", source) if n]
    chosen = collapse(op, op.label("index"), [op["index"].numel()], [0])
    return op.join([*labels, align(chosen, x.dim())])


@rule("index_put", "_index_put_impl", "_unsafe_index_put")
def index_put(op: Operation) -> Label:
    """Values ``[*index, *rest]`` at the selected places of ``self``."""
    x, found = op["self"], selection(op, op["indices"])
    values = op["values"]
    rank = x.dim() - len(found.dims) + found.rank
    shape = (1,) * (rank - values.dim()) + tuple(values.shape)
    chosen = range(found.at, found.at + found.rank)
    label = collapse(op, align(op.label("values"), rank), shape, chosen)
    kept = [d for d in range(x.dim()) if d not in found.dims]
    rest = [d for d in range(rank) if d not in chosen]

    def view(v: Tensor) -> Tensor:
        size = {d: v.shape[r] for d, r in zip(kept, rest, strict=True)}
        return v.reshape([size.get(d, 1) for d in range(x.dim())])

    index = collapse(op, found.label, [2] * found.rank, range(found.rank))
    return op.join([mix(op, op.label("self"), found.dims, x.shape), label.map(view), align_scalar(index, x.dim())])


def align_scalar(label: Label, rank: int) -> Label:
    return label.map(lambda v: v.reshape((1,) * rank))


@rule("slice_scatter", "select_scatter")
def slice_scatter(op: Operation) -> Label | None:
    """A slice of positions is replaced."""
    x, dim = op["self"], op["dim"] % op["self"].dim()
    source = op.label("src")
    if op.name == "select_scatter":
        source = align(source, op["src"].dim()).map(lambda v: v.unsqueeze(dim))
    if any(dim in c.dims for c in (*source.columns, *op.label("self").columns)):
        return None
    return op.join([mix(op, label, [dim], x.shape) for label in (op.label("self"), source)])


@rule("masked_scatter")
def masked_scatter(op: Operation) -> Label | None:
    """Rows of the source, one after the other, where the mask holds; each row goes as a whole."""
    x, source, mask = op["self"], op["source"], align(op.label("mask"), op["self"].dim())
    whole = _whole_rows(x.shape, source.shape, mask)
    lead = x.dim() - whole
    if any(d < lead for c in mask.columns for d in c.dims) or source.dim() <= whole:
        return None
    rows = collapse(op, op.label("source"), source.shape, range(source.dim() - whole))
    rows = rows.map(lambda v: v.reshape((1,) * lead + tuple(v.shape[v.dim() - whole :])))
    return op.join([op.label("self"), mask, rows, Label(positions=grid(x.shape, range(lead)))])


def _whole_rows(shape: Sequence[int], source: Sequence[int], mask: Label) -> int:
    """How many last dimensions the mask takes as a whole, and the source has."""
    varies = {d for v in (*mask.positions, *(c.ids for c in mask.columns)) for d, n in enumerate(v.shape) if n > 1}
    count = 0
    for n, m in zip(reversed(shape), reversed(source), strict=False):
        if n != m or len(shape) - count - 1 in varies:
            break
        count += 1
    return count
