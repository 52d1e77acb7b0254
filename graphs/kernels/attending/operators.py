"""Attention and softmax over the edges as torch operators: differentiable twice, opaque to torch.compile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphs.kernels.attending import reference
from graphs.kernels.attending.operands import ATTENDED, Attended
from graphs.kernels.backends import backend
from graphs.kernels.double_backward import derivative_of_gradient
from graphs.kernels.table import BlockTable


def attend(t: Attended, table: BlockTable) -> Tensor:
    """Attention by the back end of the device, of operands that fit; see :func:`graphs.kernels.attention`."""
    return _attention(table.rows, table.col, table.num_nodes, table.num_edges, t.heads, t.scale, *t.tensors)[0]


def softmax(src: Tensor, rows: Tensor, num_nodes: int) -> Tensor:
    """Softmax by the back end of the device; see :func:`graphs.kernels.segment_softmax`."""
    return _softmax(rows, num_nodes, src)


# What the operators of attention begin with: rows, col, two sizes and two settings, then the tensors.
_BEFORE = 6
_ARGUMENTS = "Tensor rows, Tensor? col, SymInt num_nodes, SymInt num_edges, SymInt heads, float scale, "
_ARGUMENTS += "Tensor q, Tensor k, Tensor v, Tensor? e, Tensor? We, Tensor? bias"


@torch.library.custom_op("metazoo::attention", mutates_args=(), schema=f"({_ARGUMENTS}) -> Tensor[]")
def _attention(*inputs: Any) -> list[Tensor]:
    """The output, and the log of the sum of the weights ``[N, H]``, which has no gradient."""
    t = _attended(inputs)
    return _kernels(t.q).forward(t, *inputs[:4])


def _attended(inputs: Sequence[Any]) -> Attended:
    heads, scale, *tensors = inputs[4 : _BEFORE + len(ATTENDED)]
    return Attended(*tensors, heads=heads, scale=scale)


@_attention.register_fake
def _(rows: Tensor, col: Tensor | None, num_nodes: int, num_edges: int, heads: int, *rest: Any) -> list[Tensor]:
    q = rest[1]
    return [q.new_empty(num_nodes, q.shape[1]), q.new_empty(num_nodes, heads)]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    rows, col, *ctx.sizes = inputs[:_BEFORE]
    operands = inputs[_BEFORE:]
    ctx.save_for_backward(rows, col, *operands, *output)


def _backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    rows, col, *operands, out, lse = ctx.saved_tensors
    needs = list(ctx.needs_input_grad[_BEFORE:])
    grad = torch.zeros_like(out) if grads[0] is None else grads[0]
    gradients = iter(_attention_backward(rows, col, *ctx.sizes, *operands, out, lse, grad, needs))
    return *[None] * _BEFORE, *(next(gradients) if need else None for need in needs)


@torch.library.custom_op(
    "metazoo::attention_backward",
    mutates_args=(),
    schema=f"({_ARGUMENTS}, Tensor out, Tensor lse, Tensor grad, bool[] needs) -> Tensor[]",
)
def _attention_backward(*inputs: Any) -> list[Tensor]:
    """The gradients of those operands that ``needs`` marks, in order."""
    t, (out, lse, grad, needs) = _attended(inputs), inputs[_BEFORE + len(ATTENDED) :]
    return _kernels(t.q).backward(t, *inputs[:4], out, lse, grad, list(needs))


@_attention_backward.register_fake
def _(*inputs: Any) -> list[Tensor]:
    operands, needs = inputs[_BEFORE : _BEFORE + len(ATTENDED)], inputs[-1]
    return [x.new_empty(x.shape) for x, need in zip(operands, needs, strict=True) if need]


def _remember_backward(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    rows, col, *ctx.sizes = inputs[:_BEFORE]
    *operands, _, _, grad, ctx.needs = inputs[_BEFORE:]
    ctx.save_for_backward(rows, col, *operands, grad)


def _backward_of_backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    rows, col, *operands, grad = ctx.saved_tensors
    num_nodes, num_edges, heads, scale = ctx.sizes

    def reference_attention(inputs: Sequence[Any]) -> list[Tensor | None]:
        columns = rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3]
        table = BlockTable(*columns, num_nodes, num_edges, col, inputs[1].shape[0], check=False)
        return [reference.attention(Attended(*inputs, heads=heads, scale=scale), table)]

    found, (of_grad,) = derivative_of_gradient(reference_attention, operands, [grad], ctx.needs, grads)
    return *[None] * _BEFORE, *found, None, None, of_grad, None


_attention.register_autograd(_backward, setup_context=_remember)
_attention_backward.register_autograd(_backward_of_backward, setup_context=_remember_backward)


# ---- softmax


@torch.library.custom_op("metazoo::segment_softmax", mutates_args=())
def _softmax(rows: Tensor, num_nodes: int, src: Tensor) -> Tensor:
    return _kernels(src).softmax(src, rows, num_nodes)


@torch.library.custom_op("metazoo::segment_softmax_backward", mutates_args=())
def _softmax_backward(rows: Tensor, num_nodes: int, weight: Tensor, grad: Tensor) -> Tensor:
    return _kernels(weight).softmax(weight, rows, num_nodes, grad)


@_softmax.register_fake
def _(rows: Tensor, num_nodes: int, src: Tensor) -> Tensor:
    return src.new_empty(src.shape)


@_softmax_backward.register_fake
def _(rows: Tensor, num_nodes: int, weight: Tensor, grad: Tensor) -> Tensor:
    return weight.new_empty(weight.shape)


def _remember_softmax(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    rows, ctx.num_nodes, _ = inputs
    ctx.save_for_backward(rows, output)


def _softmax_gradient(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    rows, weight = ctx.saved_tensors
    return None, None, _softmax_backward(rows, ctx.num_nodes, weight, grad)


def _remember_softmax_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    rows, ctx.num_nodes, weight, grad = inputs
    ctx.save_for_backward(rows, weight, grad)


def _softmax_second(ctx: Any, grad_of_gradient: Tensor) -> tuple[Any, ...]:
    """Through ``weight * (grad - the sum of weight * grad)``."""
    rows, weight, grad = ctx.saved_tensors
    target = torch.repeat_interleave(rows[:, 3], rows[:, 2], output_size=weight.shape[0])
    with torch.enable_grad():
        w, g = weight.detach().requires_grad_(), grad.detach().requires_grad_()
        mean = w.new_zeros(ctx.num_nodes, w.shape[1]).index_add(0, target, w * g)
        gradient = w * (g - mean.index_select(0, target))
        return None, None, *torch.autograd.grad(gradient, (w, g), grad_of_gradient)


_softmax.register_autograd(_softmax_gradient, setup_context=_remember_softmax)
_softmax_backward.register_autograd(_softmax_second, setup_context=_remember_softmax_backward)


def _kernels(x: Tensor) -> Any:
    """The module whose ``forward``, ``backward`` and ``softmax`` run where x is."""
    if backend(x.device, "attention") == "triton":
        from graphs.kernels.attending import gpu as gpu_attention

        return gpu_attention
    from graphs.kernels.attending import cpu as cpu_attention

    return cpu_attention
