"""The operations that models pass messages with: each is one sweep over the edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphs.kernels.sweep.operators import sweep, sweep_in_place
from graphs.kernels.sweep.program import Operands, Program
from graphs.kernels.sweep.reductions import reductions, statistics_for
from graphs.kernels.table import BlockTable


class Update(NamedTuple):
    """What changes the edge states once: ``e <- e + act(U[j] + V[i] + e Wu + bu) Wo + bo`` on an edge j -> i.

    Shapes: U, V ``[N, H]``, Wu ``[D, H]``, bu ``[H]``, Wo ``[H, D]``, bo ``[D]``; any but Wu may be None, in all
    updates of a chain alike (without Wo, H is D).
    """

    U: Tensor | None
    V: Tensor | None
    Wu: Tensor
    Wo: Tensor | None = None
    bu: Tensor | None = None
    bo: Tensor | None = None


def segment_reduce(src: Tensor, table: BlockTable, reduce: Sequence[str] = ("sum",)) -> tuple[Tensor, ...]:
    """Reduce the edges into each destination node, several reductions in one pass.

    Args:
        src: ``[E, F]`` values of the edges, in the order of the table.
        table: rows of edges; see :class:`BlockTable`.
        reduce: names among sum, mean, max, min, std; see :func:`graphs.kernels.sweep.reductions.reductions`.

    Shapes: returns one ``[N, F]`` per name. Raises ValueError for an unknown name or another number of edges.

    >>> table = BlockTable.from_rows([[0, 0, 2, 1], [2, 0, 1, 0]], num_nodes=2)
    >>> segment_reduce(torch.tensor([[1.0], [3.0], [5.0]]), table, ("sum", "max"))
    (tensor([[5.],
            [4.]]), tensor([[5.],
            [3.]]))
    """
    return _reduced(Program(statistics=statistics_for(reduce)), Operands(src), table, reduce)


def fused_message(
    P: Tensor | None,
    Q: Tensor | None,
    e: Tensor,
    We: Tensor | None,
    table: BlockTable,
    *,
    bias: Tensor | None = None,
    message: str = "add",
    act: str = "identity",
    reduce: Sequence[str] = ("sum",),
) -> tuple[Tensor, ...]:
    """Reduce over the edges j -> i into node i the messages of P[j], Q[i] and e, which are never written.

    ========  ===================================================================================================
    "add"     ``act(P[j] + Q[i] + e We + bias)``
    "film"    ``act((P[j] + Q[i]) * scale + shift)``, ``[scale, shift] = e We + bias`` (Neural Graphs, 2403.12143)
    "mul"     ``act((P[j] + Q[i]) * (e We + bias))``, the product of ScaleGMN (https://arxiv.org/abs/2406.10685)
    ========  ===================================================================================================

    Args:
        P, Q: states of sources and of destinations, already mapped; None for 0.
        e: edge states. We: the map of the edges; None for the identity (not for film).
        message, act: see above and :data:`graphs.kernels.sweep.program.ACTIVATIONS`.

    Shapes: P, Q ``[N, G]``, e ``[E, D]``, We ``[D, G]`` (``[D, 2 G]`` for film), bias as wide as that; one ``[N, G]``
    per reduction.

    >>> table = BlockTable.from_rows([[0, 0, 2, 1]], num_nodes=2)
    >>> fused_message(torch.tensor([[1.0], [2.0]]), None, torch.ones(2, 1), torch.ones(1, 1), table, act="relu")
    (tensor([[0.],
            [5.]]),)
    """
    program = Program(message=message, act=act, statistics=statistics_for(reduce))
    operands = Operands(e, P=P, Q=Q, We=We, be=bias)
    return _reduced(program, operands, table, reduce)


def fused_layer(
    P: Tensor | None,
    Q: Tensor | None,
    U: Tensor | None,
    V: Tensor | None,
    e: Tensor,
    We: Tensor | None,
    Wu: Tensor,
    Wo: Tensor | None,
    table: BlockTable,
    *,
    be: Tensor | None = None,
    bu: Tensor | None = None,
    bo: Tensor | None = None,
    message: str = "add",
    act: str = "relu",
    update_act: str = "relu",
    residual: bool = True,
    reads: str = "old",
    reduce: Sequence[str] = ("sum",),
    in_place: bool = False,
) -> tuple[Tensor, ...]:
    """Message, reduction and edge update in one sweep; returns the new edge states, then the reductions.

    With e' the states after the :class:`Update` (U, V, Wu, Wo, bu, bo), the messages are those of
    :func:`fused_message` on e (``reads="old"``) or on e' (``"new"``). Beside e', nothing is kept for the backward pass;
    what it needs of the edges is computed again. With ``in_place``, e' is written over e and no memory is needed for
    the edges; that serves prediction only, under ``torch.no_grad()``. To train where the edge states of all layers do
    not fit, see :func:`fused_chain`.

    Shapes: as there, U, V ``[N, H]``, Wu ``[D, H]``, Wo ``[H, D]``; e' ``[E, D]``, one ``[N, G]`` per reduction.
    """
    program = Program(
        message=message,
        act=act,
        update_act=update_act,
        residual=residual,
        reads=reads,
        keep=True,
        statistics=statistics_for(reduce),
    )
    operands = Operands(e, P=P, Q=Q, We=We, be=be, **_stacked([Update(U, V, Wu, Wo, bu, bo)]))
    if in_place:
        return e, *reductions(reduce, sweep_in_place(program, operands, table), table)
    edges, found = sweep(program, operands, table)
    assert edges is not None
    return edges, *reductions(reduce, found, table)


def fused_chain(
    e: Tensor,
    updates: Sequence[Update],
    P: Tensor | None,
    Q: Tensor | None,
    We: Tensor | None,
    table: BlockTable,
    *,
    bias: Tensor | None = None,
    message: str = "add",
    act: str = "relu",
    update_act: str = "relu",
    residual: bool = True,
    reduce: Sequence[str] = ("sum",),
) -> tuple[Tensor, ...]:
    """:func:`fused_message` on edge states after any number of updates, which are made again block by block.

    A model of several layers that calls it once a layer, each time with one update more, stores the first edge states
    (in float32, or in bfloat16) and node states only; without even those, see :func:`lazy_chain`.
    """
    program = Program("stored", message, act, update_act, residual, statistics=statistics_for(reduce))
    operands = Operands(e, P=P, Q=Q, We=We, be=bias, **_stacked(updates))
    return _reduced(program, operands, table, reduce)


def lazy_message(
    w: Tensor,
    enc_a: Tensor,
    enc_b: Tensor,
    P: Tensor | None,
    Q: Tensor | None,
    We: Tensor | None,
    table: BlockTable,
    *,
    bias: Tensor | None = None,
    message: str = "add",
    act: str = "relu",
    reduce: Sequence[str] = ("sum",),
) -> tuple[Tensor, ...]:
    """:func:`fused_message` on edge states ``relu(w enc_a + enc_b)``, made from the raw weights as they are read.

    No ``[E, D]`` ever exists, forward or backward: a graph of 10^8 edges needs memory for its nodes only.

    Args:
        w: raw weights ``[E, C]``: taps of a kernel, or a weight at C times.
        enc_a, enc_b: the encoder, ``[C, D]`` and ``[D]``.
    """
    return lazy_chain(w, enc_a, enc_b, [], P, Q, We, table, bias=bias, message=message, act=act, reduce=reduce)


def lazy_chain(
    w: Tensor,
    enc_a: Tensor,
    enc_b: Tensor,
    updates: Sequence[Update],
    P: Tensor | None,
    Q: Tensor | None,
    We: Tensor | None,
    table: BlockTable,
    *,
    bias: Tensor | None = None,
    message: str = "add",
    act: str = "relu",
    update_act: str = "relu",
    residual: bool = True,
    reduce: Sequence[str] = ("sum",),
) -> tuple[Tensor, ...]:
    """:func:`lazy_message` after any number of edge updates, which are made again from the raw weights.

    Edge states of a layer depend on the raw weights and on the node states of the layers before it, so that a model of
    several layers stores node states only: call it once a layer, each time with one update more.
    """
    program = Program("relu", message, act, update_act, residual, statistics=statistics_for(reduce))
    operands = Operands(w, enc_a, enc_b, P=P, Q=Q, We=We, be=bias, **_stacked(updates))
    return _reduced(program, operands, table, reduce)


def _reduced(program: Program, operands: Operands, table: BlockTable, reduce: Sequence[str]) -> tuple[Tensor, ...]:
    return reductions(reduce, sweep(program, operands, table)[1], table)


def _stacked(updates: Sequence[Update]) -> dict[str, Tensor | None]:
    """The operands of a chain of updates, ``[K, ...]`` each. Raises ValueError where one has what another lacks."""
    stacked: dict[str, Tensor | None] = {}
    for name in Update._fields if updates else ():
        values = [getattr(update, name) for update in updates]
        present = [value for value in values if value is not None]
        if present and len(present) < len(values):
            raise ValueError(f"expected {name} in all {len(values)} updates of a chain or in none, got {len(present)}")
        stacked[name] = torch.stack(present) if present else None
    return stacked
