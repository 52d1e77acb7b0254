"""The sweep on a GPU, in Triton.

Edges are dealt out in pieces of at most 32, 8 or 2 that meet in one node (:mod:`gpu_plan`), and a tile is a group of
pieces of one width: one long row, or many short ones. A tile loads its edges once, recomputes everything else
(:mod:`gpu_tile`), takes products with weights on tensor cores, and reduces each piece in registers (:mod:`gpu_reduce`).
The piece of a node that has no other is written to the node; pieces of longer rows are partial results, a 32nd of the
edges, that a second kernel adds in a fixed order. A fixed number of programs loops over the tiles, so the gradients of
weights are sums in registers, one a program, which torch adds. The gradients of P and U need the edges in another
order: a second pass over pieces that meet in a source. Nothing is added atomically: results repeat bit for bit.

The gradient of max and min compares recomputed messages with the maximum that forward found. They are equal bit for
bit because forward and backward call the same functions on tiles of one size, without fused multiply-add across
statements (``enable_fp_fusion``): then each message depends on its operands alone, whatever surrounds it.

Products are exact float32 (features wider than 32: three TF32 products, nearly so) unless torch allows TF32
(``torch.set_float32_matmul_precision``) or METAZOO_PRECISION names ieee, tf32, tf32x3 or bf16. Edges are counted in
int64. What the kernels are compiled for is a :class:`~graphs.kernels.sweep.gpu_shape.Shape`, without any number of
edges or nodes.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphs.kernels.sweep.gpu_forward import forward_kernel
from graphs.kernels.sweep.gpu_plan import by_destination, by_source
from graphs.kernels.sweep.gpu_shape import Statistics
from graphs.kernels.sweep.gpu_sweep import Sweep
from graphs.kernels.sweep.program import EXTREMES, OPERANDS, Operands, Program


def forward(
    program: Program,
    operands: Operands,
    rows: Tensor,
    col: Tensor | None,
    num_nodes: int,
    out: Tensor | None = None,
) -> list[Tensor]:
    """The sweep of a program: e_K if kept, the statistics, the numbers of messages that attain max and min.

    e_K is written to ``out`` where that is given, which may be e: an edge is read by the program that writes it only.

    Shapes: e_K ``[E, D]``, all others ``[N, G]``.
    """
    sweep = Sweep.of(program, operands, num_nodes)
    plan = by_destination(rows, col, num_nodes)
    e, G = operands.e, sweep.shape.G
    edges = (e.new_empty(e.shape[0], sweep.shape.D) if out is None else out) if program.keep else None
    nodes, part = (
        {name: sweep.empty(n, G) for name in (*program.statistics, *_ties(program))}
        for n in (num_nodes, max(plan.slots, 1))
    )
    arguments = edges, _named(Statistics, nodes), _named(Statistics, part)
    for pieces in plan.pieces:
        sweep.launch(forward_kernel, plan, pieces, sweep.programs(pieces), *arguments)
    for name in program.statistics:
        ties = f"{name}_ties"
        sweep.combine(plan, name, part[name], nodes[name], part.get(ties), nodes.get(ties))
    found = [nodes[name] for name in (*program.statistics, *_ties(program))]
    return found if edges is None else [edges, *found]


def backward(
    program: Program,
    operands: Operands,
    rows: Tensor,
    col: Tensor | None,
    num_nodes: int,
    found: list[Tensor],
    grad_edges: Tensor | None,
    grad_nodes: list[Tensor],
    needs: list[bool],
) -> list[Tensor]:
    """The gradients of the operands that ``needs`` marks, in order.

    ``found`` are what :func:`forward` returned of max and min: their values, then how many messages attain them.
    """
    sweep = Sweep.of(program, operands, num_nodes)
    wanted = {name for name, need in zip(OPERANDS, needs, strict=True) if need}
    names = (*_extremes(program), *_ties(program))
    given = dict(zip(program.statistics, map(Tensor.contiguous, grad_nodes), strict=True))
    inputs = (
        _named(Statistics, dict(zip(names, found, strict=True))),
        _named(Statistics, given),
        None if grad_edges is None else grad_edges.contiguous(),
    )
    gradients: dict[str, Tensor] = {}
    if wanted - {"P", "U"}:
        gradients |= sweep.backward(by_destination(rows, col, num_nodes), inputs, wanted - {"P", "U"}, "Q", "V")
    if wanted & {"P", "U"}:
        gradients |= sweep.backward(by_source(rows, col, sweep.sources), inputs, wanted & {"P", "U"}, "P", "U")
    return [gradients[name] for name in OPERANDS if name in wanted]


def _extremes(program: Program) -> list[str]:
    return [name for name in program.statistics if name in EXTREMES]


def _ties(program: Program) -> list[str]:
    return [f"{name}_ties" for name in _extremes(program)]


def _named(kind: Any, values: dict[str, Tensor]) -> Any:
    """A named tuple of tensors, None where there is none."""
    return kind(*(values.get(name) for name in kind._fields))
