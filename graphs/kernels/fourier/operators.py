"""The Fourier encoder of raw weights as a torch operator: checked, differentiable twice, opaque to torch.compile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graphs.kernels.backends import backend
from graphs.kernels.double_backward import derivative_of_gradient
from graphs.kernels.fourier import chunked as chunked_fourier
from graphs.kernels.fourier import reference as reference_fourier
from graphs.kernels.fourier.chunked import destinations
from graphs.kernels.fourier.operands import FOURIER_OPERANDS, FourierOperands, check_fourier, check_kinds
from graphs.kernels.table import BlockTable


def fourier_linear(
    values: Tensor,
    frequencies: Tensor,
    weight: Tensor,
    bias: Tensor,
    table: BlockTable | None = None,
    *,
    nodes: Tensor | None = None,
    kinds: Tensor | None = None,
    kind: Tensor | None = None,
) -> Tensor:
    """``[cos(2 pi B z), sin(2 pi B z)] W^T + b + nodes[destination] + kinds[kind]`` of every edge, in one pass.

    Random Fourier features (Tancik et al. 2020, https://arxiv.org/abs/2006.10739) under a linear map. The features of
    all edges never exist at once, forward or backward.

    On the CPU the angle of a single number (C = 1) is reduced without error, so that the features are within 1e-6 of
    the true ones at any size of the angle, also in float32. Of more numbers, and on other devices, the angle is summed
    in the compute dtype first: at an angle of 1e4 float32 features are then within 2e-3, as those of torch are. NaN
    and infinite values give NaN.

    Args:
        values: z of the edges. frequencies: B, in 1 / (unit of z); they have no gradient.
        weight, bias: the linear map, W and b.
        table, nodes: rows of edges, and what is added to all edges into a node; None for nothing.
        kind, kinds: the row of ``kinds`` that is added to each edge (int64), and these rows; None for nothing.

    Shapes: values ``[E, C]``, frequencies ``[f, C]``, weight ``[D, 2 f]``, bias ``[D]``, nodes ``[N, D]``, kind
    ``[E]``, kinds ``[K, D]``; output ``[E, D]`` in the dtype of the values (float32, float64 or bfloat16; sums of
    bfloat16 are made in float32).

    Raises ValueError for tensors that do not fit each other, and for frequencies that require a gradient.

    >>> fourier_linear(torch.zeros(2, 1), torch.ones(1, 1), torch.tensor([[2.0, 5.0]]), torch.ones(1))
    tensor([[3.],
            [3.]])
    """
    t = FourierOperands(values, frequencies, weight, bias, nodes, kinds)
    named = zip(FOURIER_OPERANDS[1:], t.tensors[1:], strict=True)
    t = replace(t, **{name: x.to(t.compute_dtype) for name, x in named if x is not None})
    check_fourier(t, table, kind)
    return _fourier(None if table is None else table.rows, kind, *t.tensors)


_ARGUMENTS = "Tensor? rows, Tensor? kind, Tensor values, Tensor frequencies, Tensor weight, Tensor bias, "
_ARGUMENTS += "Tensor? nodes, Tensor? kinds"


@torch.library.custom_op("metazoo::fourier_linear", mutates_args=(), schema=f"({_ARGUMENTS}) -> Tensor")
def _fourier(rows: Tensor | None, kind: Tensor | None, *operands: Any) -> Tensor:
    t = FourierOperands(*operands)
    if kind is not None and t.kinds is not None:
        check_kinds(kind, len(t.kinds))
    return _kernels(t.values).forward(t, rows, kind)


@_fourier.register_fake
def _(rows: Tensor | None, kind: Tensor | None, values: Tensor, frequencies: Tensor, weight: Tensor, *_: Any) -> Tensor:
    return values.new_empty(values.shape[0], weight.shape[0])


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    rows, kind, *operands = ctx.saved_tensors
    needs = list(ctx.needs_input_grad[2:])
    gradients = iter(_fourier_backward(rows, kind, *operands, grad, needs))
    return None, None, *(next(gradients) if need else None for need in needs)


@torch.library.custom_op(
    "metazoo::fourier_linear_backward",
    mutates_args=(),
    schema=f"({_ARGUMENTS}, Tensor grad, bool[] needs) -> Tensor[]",
)
def _fourier_backward(rows: Tensor | None, kind: Tensor | None, *rest: Any) -> list[Tensor]:
    """The gradients of those operands that ``needs`` marks, in order."""
    *operands, grad, needs = rest
    t = FourierOperands(*operands)
    found = _kernels(t.values).backward(t, rows, kind, grad, list(needs))
    return [found[name] for name, need in zip(FOURIER_OPERANDS, needs, strict=True) if need]


@_fourier_backward.register_fake
def _(rows: Tensor | None, kind: Tensor | None, *rest: Any) -> list[Tensor]:
    *operands, _, needs = rest
    return [x.new_empty(x.shape) for x, need in zip(operands, needs, strict=True) if need]


# ---- the second derivative, of the reference


def _remember_backward(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *tensors, ctx.needs = inputs
    ctx.save_for_backward(*tensors)


def _backward_of_backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    rows, kind, *operands, weight = ctx.saved_tensors
    target = None if rows is None else destinations(rows, 0, len(operands[0]))

    def run(tensors: Sequence[Any]) -> list[Tensor]:
        return [reference_fourier.fourier_linear(FourierOperands(*tensors), target, kind)]

    of_operands, of_weight = derivative_of_gradient(run, operands, [weight], ctx.needs, grads)
    return None, None, *of_operands, *of_weight, None


def _kernels(values: Tensor) -> Any:
    """The module whose ``forward`` and ``backward`` run on a device; plain torch where there is none of our own."""
    if values.device.type != "cpu" or backend(values.device, "fourier") != "cpu":
        return chunked_fourier
    from graphs.kernels.fourier import cpu as cpu_fourier

    return cpu_fourier


_fourier.register_autograd(_backward, setup_context=_remember)
_fourier_backward.register_autograd(_backward_of_backward, setup_context=_remember_backward)
