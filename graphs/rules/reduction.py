"""Symmetric reductions over whole axes."""

from __future__ import annotations

from graphs.labelling.labels import Label
from graphs.labelling.operation import Operation
from graphs.rules import rule
from graphs.rules.mixing import choose


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
    """The maximum of everything; along one axis its index tells an order."""
    if not op.has("dim"):
        return _reduce(op) if not op.has("other") else None
    return choose(op, [op["dim"]])
