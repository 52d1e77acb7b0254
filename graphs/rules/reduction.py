"""Symmetric reductions over whole axes, and pooling over positions."""

from __future__ import annotations

from dataclasses import replace

from graphs.labels import Label, grid, support
from graphs.operation import Operation
from graphs.rules import rule


@rule("sum", "mean", "amax", "amin", "var", "std", "linalg_vector_norm", "norm", "any", "all", "prod", "logsumexp")
def reduction(op: Operation) -> Label:
    return _reduce(op)


@rule("var_mean", "std_mean")
def two_reductions(op: Operation) -> list[Label]:
    label = _reduce(op)
    return [label for _ in op.outputs]


def _reduce(op: Operation) -> Label:
    x = op["self"]
    dims = op.arguments.get("dim")
    dims = [dims] if isinstance(dims, int) else list(dims) if dims else list(range(x.dim()))
    return op.reduce(op.label("self"), dims, keepdim=op.out.dim() == x.dim())


@rule("max", "min")
def extreme(op: Operation) -> Label | list[Label] | None:
    """The maximum of everything; along one axis its index tells an order, which only positions have."""
    if not op.has("dim"):
        return _reduce(op) if not op.has("other") else None
    x, dim = op.label("self"), op["dim"] % op["self"].dim()
    if any(dim in c.dims for c in x.columns):
        return None
    label = op.reduce(x, [dim], keepdim=op.out.dim() == op["self"].dim())
    return [label for _ in op.outputs]


@rule(
    *("avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices"),
    *("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "upsample_nearest1d"),
    *("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d"),
)
def pooling(op: Operation) -> list[Label] | None:
    """Windows over space: channels pass, spatial positions are new."""
    x, rank = op.label("self" if "self" in op.arguments else "input"), op.out.dim()
    space = set(range(rank - (1 if "1d" in op.name else 3 if "3d" in op.name else 2), rank))
    if any(c.dims & space for c in x.columns):
        return None
    kept = tuple(p for p in x.positions if not support(p) & space)
    mixed = {d for p in x.positions if support(p) & space for d in support(p)}
    label = replace(x, positions=(*kept, *grid(op.out.shape, space | mixed)))
    return [label for _ in op.outputs]
