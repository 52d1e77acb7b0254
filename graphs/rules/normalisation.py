"""Normalisations and softmax: every element meets a statistic over some axes, then per-channel parameters."""

from __future__ import annotations

from graphs.labelling.labels import Label, narrow
from graphs.labelling.operation import Operation
from graphs.rules import rule


def _channelwise(op: Operation, names: tuple[str, ...]) -> list[Label]:
    """Per-channel vectors ``[C]`` laid along dimension 1."""
    rank = op.out.dim()
    return [op.label(n).map(lambda v: v.reshape(1, -1, *[1] * (rank - 2))) for n in names if op.has(n)]


@rule("native_batch_norm", "_native_batch_norm_legit_no_training", "_batch_norm_no_update", "cudnn_batch_norm")
def batch_norm(op: Operation) -> list[Label]:
    out = op.join([op.label("input"), *_channelwise(op, ("weight", "bias", "running_mean", "running_var"))])
    return [out, *(Label(active=out.active) for _ in op.outputs[1:])]


@rule("native_layer_norm", "rms_norm", "_fused_rms_norm")
def layer_norm(op: Operation) -> list[Label]:
    x, rank = op.label("input"), op.out.dim()
    dims = range(rank - len(op["normalized_shape"]), rank)
    statistic = op.reduce(x, dims)
    out = op.join([x, statistic, *(op.label(n) for n in ("weight", "bias") if op.has(n))])
    return [out, *(statistic for _ in op.outputs[1:])]


@rule("native_group_norm")
def group_norm(op: Operation) -> list[Label]:
    shape, groups = op["input"].shape, op["group"]
    split = (shape[0], groups, shape[1] // groups, *shape[2:])
    grouped = op.label("input").map(lambda v: narrow(v.expand(shape).reshape(split)))
    out = op.join([grouped, op.reduce(grouped, range(2, len(split)))], len(split))
    out = out.map(lambda v: narrow(v.expand(split).reshape(shape)))
    out = op.join([out, *_channelwise(op, ("weight", "bias"))])
    return [out, *(Label(active=out.active) for _ in op.outputs[1:])]


@rule("_weight_norm_interface")
def weight_norm(op: Operation) -> list[Label]:
    """g v / |v|, the norm taken over all axes but one; the second output is that norm."""
    v, kept = op.label("v"), op.arguments.get("dim", 0)
    norm = op.reduce(v, [d for d in range(op["v"].dim()) if d != kept])
    return [op.join([v, op.label("g"), norm]), norm]


@rule("_softmax", "_log_softmax", "_safe_softmax")
def softmax(op: Operation) -> Label:
    x = op.label("self")
    return op.join([x, op.reduce(x, [op["dim"]])])
