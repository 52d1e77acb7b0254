"""Pointwise functions: one join. Most are recognised by torch's own tag; these are the ones without it."""

from __future__ import annotations

from torch import Tensor

from graphs.labelling.labels import Label, align
from graphs.labelling.operation import Operation
from graphs.rules import rule


def pointwise(op: Operation) -> list[Label]:
    for tensor in op.tensors().values():
        split_along(op, op.read(tensor), [op.read(t) for t in op.tensors().values()])
    label = op.join([op.read(t) for t in op.tensors().values()])
    return [label for _ in op.outputs]


def split_along(op: Operation, weight: Label, operands: list[Label]) -> None:
    """A parameter ``[heads, per head]`` that meets neurons which both its axes tell together is one axis of neurons."""
    if weight.active or len(weight.columns) != 2 or len(weight.parameters) != 1:
        return
    outer, inner = sorted((align(weight, op.out.dim())).columns, key=lambda c: sorted(c.dims))
    others = [align(label, op.out.dim()) for label in operands]
    both = outer.dims | inner.dims
    met = [c for label in others if label.active for c in label.columns if c.dims & both]
    if met and outer.dims and inner.dims and all(c.dims >= both for c in met):
        op.compounds.split(weight, outer, [inner], together=False)


rule(
    *("dropout", "native_dropout", "where", "masked_fill", "clamp", "pow", "gelu", "elu", "hardtanh", "leaky_relu"),
    *("hardswish", "hardsigmoid", "softplus", "silu", "_prelu_kernel", "floor_divide", "remainder", "celu", "selu"),
    *("rsub", "lerp", "addcmul", "addcdiv", "threshold", "mish", "relu", "log_sigmoid_forward", "bitwise_and"),
)(pointwise)


@rule("copy")
def copy(op: Operation) -> Label:
    """``x.copy_(source)``: the source replaces what was there."""
    return op.join([op.label("src")])


@rule("fill", "zero")
def fill(op: Operation) -> Label:
    return op.join([op.label("value")]) if isinstance(op.arguments.get("value"), Tensor) else Label()


@rule("glu")
def glu(op: Operation) -> Label:
    halves = op["self"].chunk(2, op["dim"])
    return op.join([op.read(half) for half in halves])
