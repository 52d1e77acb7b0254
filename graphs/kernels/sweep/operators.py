"""The sweep as a torch operator: checked, differentiable twice, and opaque to torch.compile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from graphs.kernels.backends import backend
from graphs.kernels.double_backward import derivative_of_gradient
from graphs.kernels.sweep import reference
from graphs.kernels.sweep.checking import check_operands
from graphs.kernels.sweep.program import EXTREMES, OPERANDS, Operands, Program
from graphs.kernels.table import BlockTable


def sweep(program: Program, t: Operands, table: BlockTable) -> tuple[Tensor | None, list[Tensor]]:
    """One sweep by the back end of the device; see :class:`Program`.

    Sums are made in float32, or in float64 for float64; e is stored in its own dtype, also bfloat16.

    Shapes: e_K ``[E, D]`` (None unless kept), and a ``[N, G]`` per statistic. Raises ValueError for operands that do
    not fit the table or each other.
    """
    t = in_compute_dtype(t)
    check_operands(program, t, table)
    if backend(t.e.device) == "reference":
        return reference.sweep(program, t, table)
    found = _sweep(program.text, table.rows, table.col, table.num_nodes, *t)
    edges = found[0] if program.keep else None
    first = int(program.keep)
    return edges, found[first : first + len(program.statistics)]


def sweep_in_place(program: Program, t: Operands, table: BlockTable) -> list[Tensor]:
    """The statistics of :func:`sweep`, while e_K is written over e; for use without gradients only.

    Raises ValueError where a gradient would be needed, for what it depends on is gone.
    """
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in t):
        raise ValueError(
            "edge states that are updated in place have no gradient; use torch.no_grad(), or in_place=False, or "
            "fused_chain, which computes them again"
        )
    if not t.e.is_contiguous() or program.encoder != "stored" or t.edge_width() != t.e.shape[1]:
        raise ValueError(f"expected contiguous stored edge states to update in place, got strides {t.e.stride()}")
    t = in_compute_dtype(t)
    check_operands(program, t, table)
    if backend(t.e.device) != "reference":
        return _sweep_in_place(program.text, table.rows, table.col, table.num_nodes, *t)[: len(program.statistics)]
    edges, found = reference.sweep(program, t, table)
    assert edges is not None
    t.e.copy_(edges)
    return found


def in_compute_dtype(t: Operands) -> Operands:
    """All operands but e in the type that sums are made in."""
    dtype = t.compute_dtype
    return Operands(t.e, *(x if x is None or x.dtype == dtype else x.to(dtype) for x in t[1:]))


# ---- the operators; their arguments begin with the program, the table and the operands

_ARGUMENTS = "str program, Tensor rows, Tensor? col, SymInt num_nodes, Tensor e, "
_ARGUMENTS += ", ".join(f"Tensor? {name}" for name in OPERANDS[1:])


def _defined(name: str, schema: str) -> Callable[[Callable[..., list[Tensor]]], OpOverload]:
    """The operator that a function becomes; of the same use as ``custom_op``, which takes longer to call.

    Only for operators that write to none of their arguments.
    """

    def define(function: Callable[..., list[Tensor]]) -> OpOverload:
        torch.library.define(name, schema, tags=torch.Tag.pt2_compliant_tag)
        torch.library.impl(name, "default", torch.compiler.disable(function))
        namespace, operator = name.split("::")
        return getattr(getattr(torch.ops, namespace), operator).default

    return define


@_defined("metazoo::sweep", f"({_ARGUMENTS}) -> Tensor[]")
def _sweep(program: str, rows: Tensor, col: Tensor | None, num_nodes: int, *operands: Any) -> list[Tensor]:
    """e_K if kept, the statistics, then for each of max and min how many messages attain it (float, ``[N, G]``)."""
    t = Operands(*operands)
    return _kernels(t.e).forward(Program.parse(program), t, rows, col, num_nodes)


@torch.library.custom_op(
    "metazoo::sweep_in_place",
    mutates_args={"e"},
    schema=f"({_ARGUMENTS.replace('Tensor e,', 'Tensor(a!) e,')}) -> Tensor[]",
)
def _sweep_in_place(program: str, rows: Tensor, col: Tensor | None, num_nodes: int, *operands: Any) -> list[Tensor]:
    """What :func:`_sweep` gives but e_K, which takes the place of e."""
    t = Operands(*operands)
    return _kernels(t.e).forward(Program.parse(program), t, rows, col, num_nodes, out=t.e)[1:]


@torch.library.register_fake(_sweep)
def _(program: str, rows: Tensor, col: Tensor | None, num_nodes: int, e: Tensor, *rest: Tensor | None) -> list[Tensor]:
    p, t = Program.parse(program), Operands(e, *rest)
    nodes = [e.new_empty(num_nodes, t.message_width(p), dtype=t.compute_dtype) for _ in range(number_of_tensors(p))]
    return [e.new_empty(e.shape[0], t.edge_width()), *nodes] if p.keep else nodes


@_sweep_in_place.register_fake
def _(program: str, rows: Tensor, col: Tensor | None, num_nodes: int, e: Tensor, *rest: Tensor | None) -> list[Tensor]:
    p, t = Program.parse(program), Operands(e, *rest)
    return [e.new_empty(num_nodes, t.message_width(p), dtype=t.compute_dtype) for _ in range(number_of_tensors(p))]


def number_of_tensors(program: Program) -> int:
    """Tensors ``[N, G]`` that a sweep makes: statistics, and the counts that go with max and min."""
    return len(program.statistics) + sum(name in EXTREMES for name in program.statistics)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    program, rows, col, num_nodes, *operands = inputs
    ctx.program, ctx.num_nodes = program, num_nodes
    names = Program.parse(program).statistics
    nodes = output[int(Program.parse(program).keep) :]
    found = [x for name, x in zip(names, nodes, strict=False) if name in EXTREMES] + nodes[len(names) :]
    ctx.save_for_backward(rows, col, *operands, *found)


def _backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    program = Program.parse(ctx.program)
    rows, col, *rest = ctx.saved_tensors
    operands, found = Operands(*rest[: len(OPERANDS)]), rest[len(OPERANDS) :]
    grad_edges = grads[0] if program.keep else None
    given = grads[int(program.keep) :][: len(program.statistics)]
    shape = (ctx.num_nodes, operands.message_width(program))
    grad_nodes = [operands.e.new_zeros(shape, dtype=operands.compute_dtype) if g is None else g for g in given]
    needs = list(ctx.needs_input_grad[4:])
    gradients = iter(
        _sweep_backward(ctx.program, rows, col, ctx.num_nodes, *operands, found, grad_edges, grad_nodes, needs)
    )
    return None, None, None, None, *(next(gradients) if need else None for need in needs)


@_defined(
    "metazoo::sweep_backward",
    f"({_ARGUMENTS}, Tensor[] found, Tensor? grad_edges, Tensor[] grad_nodes, bool[] needs) -> Tensor[]",
)
def _sweep_backward(program: str, rows: Tensor, col: Tensor | None, num_nodes: int, *rest: Any) -> list[Tensor]:
    """The gradients of those operands that ``needs`` marks, in order.

    ``found`` are the values of max and min, in the order of the statistics, then how many messages attain each.
    """
    t, (found, grad_edges, grad_nodes, needs) = Operands(*rest[: len(OPERANDS)]), rest[len(OPERANDS) :]
    return _kernels(t.e).backward(
        Program.parse(program), t, rows, col, num_nodes, list(found), grad_edges, list(grad_nodes), list(needs)
    )


@torch.library.register_fake(_sweep_backward)
def _(program: str, rows: Tensor, col: Tensor | None, num_nodes: int, *rest: Any) -> list[Tensor]:
    operands, needs = rest[: len(OPERANDS)], rest[-1]
    return [x.new_empty(x.shape) for x, need in zip(operands, needs, strict=True) if need]


# ---- the second derivative, of the reference


def _remember_backward(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    program, rows, col, num_nodes, *rest = inputs
    *operands_and_found, grad_edges, grad_nodes, needs = rest
    ctx.program, ctx.num_nodes, ctx.needs, ctx.count = program, num_nodes, needs, len(operands_and_found[-1])
    ctx.save_for_backward(rows, col, *operands_and_found[:-1], grad_edges, *grad_nodes)


def _backward_of_backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    rows, col, *saved = ctx.saved_tensors
    program, width = Program.parse(ctx.program), len(OPERANDS)

    def reference_sweep(inputs: Sequence[Any]) -> list[Tensor | None]:
        operands = Operands(*inputs)
        edges, statistics = reference.sweep(program, operands, as_table(rows, col, ctx.num_nodes, operands))
        return [edges, *statistics]

    operands, weights = saved[:width], saved[width:]
    found, of_weights = derivative_of_gradient(reference_sweep, operands, weights, ctx.needs, grads)
    return None, None, None, None, *found, [None] * ctx.count, of_weights[0], of_weights[1:], None


def as_table(rows: Tensor, col: Tensor | None, num_nodes: int, t: Operands) -> BlockTable:
    """The table whose rows an operator was given."""
    sources = [x.shape[-2] for x in (t.U, t.P) if x is not None]
    columns = rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3]
    return BlockTable(*columns, num_nodes, t.e.shape[0], col, sources[0] if sources else None, check=False)


def _kernels(e: Tensor) -> Any:
    """The module whose ``forward`` and ``backward`` run on a device."""
    if backend(e.device) == "triton":
        from graphs.kernels.sweep import gpu

        return gpu
    from graphs.kernels.sweep import cpu

    return cpu


torch.library.register_autograd(_sweep, _backward, setup_context=_remember)
torch.library.register_autograd(_sweep_backward, _backward_of_backward, setup_context=_remember_backward)
