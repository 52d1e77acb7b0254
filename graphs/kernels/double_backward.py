"""The derivative of a gradient, for operators whose kernels have none: that of their reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Tensors = list[Tensor | None]


def derivative_of_gradient(
    reference: Callable[[Tensors], Sequence[Tensor | None]],
    operands: Sequence[Tensor | None],
    weights: Sequence[Tensor | None],
    needs: Sequence[bool],
    grads: Sequence[Tensor | None],
) -> tuple[Tensors, Tensors]:
    """Differentiate ``vjp(operands, weights)``, the gradients of those operands that ``needs`` marks.

    Args:
        reference: from the operands to outputs, differentiable twice.
        operands: what the operator was given. weights: a gradient per output, None where there is none.
        grads: of each of the marked gradients, in order; None where there is none.

    Returns gradients of the operands and of the weights, None where there is none.
    """
    with torch.enable_grad():
        inputs: Tensors = [None if x is None else x.detach().requires_grad_() for x in (*operands, *weights)]
        given, gradients = inputs[: len(operands)], inputs[len(operands) :]
        pairs = [(y, g) for y, g in zip(reference(given), gradients, strict=True) if y is not None and g is not None]
        wanted = [x for x, need in zip(given, needs, strict=True) if need and x is not None]
        outputs, weighted = zip(*pairs, strict=True)
        first = torch.autograd.grad(outputs, wanted, weighted, create_graph=True, allow_unused=True)
        used = [
            (f, g) for f, g in zip(first, grads, strict=True) if f is not None and f.requires_grad and g is not None
        ]
        leaves = [x for x in inputs if x is not None]
        again, given_again = [f for f, _ in used], [g for _, g in used]
        second = iter(
            torch.autograd.grad(again, leaves, given_again, allow_unused=True) if used else [None] * len(leaves)
        )
    found = [None if x is None else next(second) for x in inputs]
    return found[: len(operands)], found[len(operands) :]
