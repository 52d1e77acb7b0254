"""Matrix products: join along the contracted axis, then reduce it."""

from __future__ import annotations

from torch import Tensor

from graphs.labelling.classes import Axis
from graphs.labelling.labels import Label, align
from graphs.labelling.operation import Operation
from graphs.rules import rule
from graphs.rules.mixing import collapse, mix
from graphs.rules.pointwise import split_along


def _reading(label: Label, dim: int) -> frozenset[Axis]:
    """The parameter axes that vary along ``dim``."""
    return frozenset(s[1:] for c in label.columns if dim in c.dims for s in c.sources if s[0] == "axis")


def matmul(op: Operation, left: str, right: str) -> Label:
    """``[..., m, k] @ [..., k, n]``; a parameter operand connects the place it contracts to the one it writes."""
    split_batch(op, left, 2, op.label(right))
    split_batch(op, right, 1, op.label(left))
    if op.label(left).active or op.label(right).active:
        op.compounds.untie(op.label(left))
        op.compounds.untie(op.label(right))
    rank = max(op[left].dim(), op[right].dim())
    a, b = align(op.label(left), rank), align(op.label(right), rank)
    a = op.compounds.together(a, rank - 1, op.module)
    b = op.compounds.together(b, rank - 2, op.module)
    for name, label, dim in ((left, a, rank - 1), (right, b, rank - 2)):
        if label.parameters:
            op.weigh(name, _reading(label, dim))
    a = a.map(lambda v: v.unsqueeze(-2))
    b = b.map(lambda v: v.transpose(-1, -2).unsqueeze(-3))
    return op.reduce(op.join([a, b], rank + 1), [rank], keepdim=False)


def split_batch(op: Operation, argument: str, inner: int, other: Label) -> None:
    """Weights stacked along the batch dimension (experts, layers): each writes neurons of its own, and reads such along
    dimension ``inner`` where ``other`` has neurons there."""
    label = op.label(argument)
    if label.active or op[argument].dim() != 3 or len(label.columns) != len(label.parameters) + 2:
        return
    at = {d: c for c in label.columns for d in c.dims if len(c.dims) == 1}
    read = any(3 - inner in c.dims for c in other.columns)
    rest = [at[d] for d in (1, 2) if d in at and (d != inner or read)]
    if 0 in at and rest:
        op.compounds.split(label, at[0], rest)


def activate(op: Operation, names: tuple[str, ...]) -> None:
    """A layer on a learned vector, or on what such a layer computed, is a layer like any other."""
    x = op.label(names[0])
    if (
        x.parameters
        and not any(op.label(n).active for n in names)
        and (op.name != "mm" or _tokens(op, x, op[names[0]]))
    ):
        op.activate(names[0])


def _tokens(op: Operation, x: Label, value: Tensor) -> bool:
    """Whether this is a vector, or vectors repeated for every sample, rather than one factor of a weight."""
    whole = [op.compounds.tensors[p] for p in x.parameters]
    return not any(0 in c.dims for c in x.columns) or all(t.dim() > 2 or t.numel() < value.numel() for t in whole)


@rule("mm")
def mm(op: Operation) -> Label:
    activate(op, ("self", "mat2"))
    return matmul(op, "self", "mat2")


@rule("bmm")
def bmm(op: Operation) -> Label:
    return matmul(op, "self", "mat2")


@rule("addmm", "_sparse_addmm")
def addmm(op: Operation) -> Label:
    activate(op, ("mat1", "mat2", "self"))
    return op.join([matmul(op, "mat1", "mat2"), op.label("self")])


@rule("baddbmm")
def baddbmm(op: Operation) -> Label:
    product = matmul(op, "batch1", "batch2")
    split_along(op, op.label("self"), [product])
    return op.join([product, op.label("self")])


@rule("_grouped_mm")
def grouped_mm(op: Operation) -> Label | None:
    """``[tokens, k] @ [experts, k, n]``, where each token goes to the expert that its position tells."""
    x, weight = op["self"], op["mat2"]
    if x.dim() != 2 or weight.dim() != 3:
        return None
    a = mix(op, op.label("self"), [0], x.shape)
    b = collapse(op, op.label("mat2"), weight.shape, [0])
    if b.parameters:
        op.weigh("mat2", _reading(b, 1))
    pairs = [a.map(lambda v: v.unsqueeze(-1)), b]
    return op.reduce(op.join(pairs, 3), [1], keepdim=False)


@rule("mv")
def mv(op: Operation) -> Label:
    return _vector_product(op, "self", "vec")


@rule("dot")
def dot(op: Operation) -> Label:
    return _vector_product(op, "self", "tensor")


@rule("vdot")
def vdot(op: Operation) -> Label:
    return _vector_product(op, "self", "other")


@rule("addmv")
def addmv(op: Operation) -> Label:
    return op.join([_vector_product(op, "mat", "vec"), op.label("self")])


@rule("ger", "outer")
def outer(op: Operation) -> Label:
    return _outer_product(op, "self", "vec2")


@rule("addr")
def addr(op: Operation) -> Label:
    return op.join([_outer_product(op, "vec1", "vec2"), op.label("self")])


def _outer_product(op: Operation, left: str, right: str) -> Label:
    a, b = op.label(left), op.label(right)
    return op.join([a.map(lambda v: v.reshape(-1, 1)), b.map(lambda v: v.reshape(1, -1))], 2)


@rule("_trilinear")
def trilinear(op: Operation) -> Label:
    """``sum(i1 * i2 * i3)`` over ``sumdim``, each operand with new dimensions of size 1 at ``expand``. A weight among
    three axes reads along its last axis but one; along the last it is pinned."""
    rank = op["i1"].dim() + len(op["expand1"])
    labels = []
    for name, new in (("i1", "expand1"), ("i2", "expand2"), ("i3", "expand3")):
        label = op.label(name)
        if label.parameters:
            op.weigh(name, _reading(label, 1))
        for d in sorted(op[new]):
            label = label.map(lambda v, d=d: v.unsqueeze(d))
        labels.append(label)
    summed = op.reduce(op.join(labels, rank), op["sumdim"])
    gone = {d % rank for d in op["sumdim"]}
    return summed.map(lambda v: v.reshape([n for d, n in enumerate(v.shape) if d not in gone]))


@rule("_cdist_forward", "_euclidean_dist")
def cdist(op: Operation) -> Label:
    """Distances ``[.., n, m]`` of vectors ``[.., n, k]`` and ``[.., m, k]``."""
    rank = op.out.dim()
    a, b = align(op.label("x1"), rank), align(op.label("x2"), rank)
    pairs = [a.map(lambda v: v.unsqueeze(-2)), b.map(lambda v: v.unsqueeze(-3))]
    return op.reduce(op.join(pairs, rank + 1), [rank], keepdim=False)


def _vector_product(op: Operation, left: str, right: str) -> Label:
    """``[..., k]`` with ``[k]``."""
    rank = op[left].dim()
    for name, dim in ((left, rank - 1), (right, 0)):
        if op.label(name).parameters:
            op.weigh(name, _reading(op.label(name), dim))
    return op.reduce(op.join([op.label(left), op.label(right)], rank), [rank - 1], keepdim=False)
