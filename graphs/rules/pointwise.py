"""Pointwise functions: one join. Most are recognised by torch's own tag; these are the ones without it."""

from __future__ import annotations

from graphs.labels import Label
from graphs.operation import Operation
from graphs.rules import rule


def pointwise(op: Operation) -> list[Label]:
    label = op.join([op.read(t) for t in op.tensors().values()])
    return [label for _ in op.outputs]


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
    return Label()


@rule("glu")
def glu(op: Operation) -> Label:
    halves = op["self"].chunk(2, op["dim"])
    return op.join([op.read(half) for half in halves])
