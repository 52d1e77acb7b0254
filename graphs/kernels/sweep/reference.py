"""A sweep over the edges in plain torch, on any device, differentiable twice: the ground truth of every kernel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from graphs.kernels.sweep.program import Operands, Program
from graphs.kernels.table import BlockTable


def sweep(program: Program, t: Operands, table: BlockTable) -> tuple[Tensor | None, list[Tensor]]:
    """The equations of :class:`Program`, an edge tensor a term.

    Shapes: returns e_K ``[E, D]`` in the dtype of e (None unless kept) and a ``[N, G]`` per statistic.
    """
    old = _encode(program, t)
    new = old
    for k in range(t.number_of_updates):
        new = _update(program, t, k, new, table)
    message = _message(program, t, old if program.reads == "old" else new, table) if program.statistics else old
    statistics = [_STATISTICS[name](message, table) for name in program.statistics]
    return new.to(t.e.dtype) if program.keep else None, statistics


def _encode(program: Program, t: Operands) -> Tensor:
    e = t.e.to(t.compute_dtype)
    if t.enc_a is None:
        return e
    return _plus(e @ t.enc_a, t.enc_b).relu()


def _update(program: Program, t: Operands, k: int, e: Tensor, table: BlockTable) -> Tensor:
    assert t.Wu is not None
    pair = _pair(None if t.U is None else t.U[k], None if t.V is None else t.V[k], table)
    h = _ACTIVATIONS[program.update_act](_plus(_plus(e @ t.Wu[k], pair), None if t.bu is None else t.bu[k]))
    if t.Wo is not None:
        h = _plus(h @ t.Wo[k], None if t.bo is None else t.bo[k])
    return e + h if program.residual else h


def _message(program: Program, t: Operands, e: Tensor, table: BlockTable) -> Tensor:
    if program.message == "edge":
        return e
    act, pair = _ACTIVATIONS[program.act], _pair(t.P, t.Q, table)
    linear = _plus(e if t.We is None else e @ t.We, t.be)
    if program.message == "add":
        return act(_plus(linear, pair))
    assert pair is not None
    if program.message == "mul":
        return act(pair * linear)
    scale, shift = linear.chunk(2, dim=1)
    return act(pair * scale + shift)


def _pair(source: Tensor | None, target: Tensor | None, table: BlockTable) -> Tensor | None:
    gathered = None if source is None else source.index_select(0, table.source())
    if target is None:
        return gathered
    return _plus(target.index_select(0, table.target()), gathered)


def _plus(x: Tensor, y: Tensor | None) -> Tensor:
    return x if y is None else x + y


def _sum(m: Tensor, table: BlockTable) -> Tensor:
    return m.new_zeros(table.num_nodes, m.shape[1]).index_add(0, table.target(), m)


def _extreme(m: Tensor, table: BlockTable, kind: str) -> Tensor:
    index = table.target()[:, None].expand_as(m)
    # Not zeros: a message of 0 would tie with them, and lose half its gradient.
    least = m.new_full((table.num_nodes, m.shape[1]), -torch.inf if kind == "amax" else torch.inf)
    return torch.where(table.degree[:, None] > 0, least.scatter_reduce(0, index, m, kind), 0)


_STATISTICS: dict[str, Callable[[Tensor, BlockTable], Tensor]] = {
    "sum": _sum,
    "square": lambda m, table: _sum(m * m, table),
    "max": lambda m, table: _extreme(m, table, "amax"),
    "min": lambda m, table: _extreme(m, table, "amin"),
}

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "relu": torch.relu,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
