"""Attention over the edges into each node, and the softmax that it rests on."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from graphs.kernels.attending import reference
from graphs.kernels.attending.operands import Attended, check_attended
from graphs.kernels.attending.operators import attend, softmax
from graphs.kernels.backends import backend, warn_once
from graphs.kernels.sweep.program import DTYPES
from graphs.kernels.table import BlockTable


def segment_softmax(src: Tensor, table: BlockTable) -> Tensor:
    """Softmax over the edges into each destination, a column at a time.

    Args:
        src: ``[E, H]``, in the order of the table; sums are made in float32, or in float64 for float64.

    Shapes: returns ``[E, H]`` in the dtype of ``src``. Raises ValueError for another number of edges, dtype or device.

    >>> table = BlockTable.from_rows([[0, 0, 2, 1], [2, 0, 1, 0]], num_nodes=2)
    >>> segment_softmax(torch.tensor([[0.0], [0.0], [5.0]]), table)
    tensor([[0.5000],
            [0.5000],
            [1.0000]])
    """
    if src.dim() != 2 or src.shape[0] != table.num_edges:
        raise ValueError(f"expected src of shape [{table.num_edges}, H], got {list(src.shape)}")
    if src.dtype not in DTYPES or src.layout != torch.strided:
        raise ValueError(f"expected src dense and of {', '.join(map(str, DTYPES))}, got {src.dtype}, {src.layout}")
    if src.device != table.count.device:
        raise ValueError(f"expected src on {table.count.device}, where the table is, got {src.device}")
    if backend(src.device, "attention") == "reference":
        return reference.segment_softmax(src, table)
    return softmax(src, table.rows, table.num_nodes)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    e: Tensor | None,
    We: Tensor | None,
    table: BlockTable,
    *,
    bias: Tensor | None = None,
    heads: int = 8,
    scale: float | None = None,
) -> Tensor:
    """Attention of each node i to the sources j of its edges, which modulate it (Neural Graphs, 2403.12143)::

        [q_e, k_e, m_e, v_e] = e We + bias
        s_e   = scale * <q_i + q_e, k_j + k_e>       a head at a time
        out_i = the sum over the edges j -> i of softmax(s)_e * (v_j * m_e + v_e)

    A node attends along its edges only: what the table lacks is masked by construction, and a graph gives the same
    alone and in any batch. For attention among all nodes of each graph, give the table of :class:`Pairs`, with e = 0
    for pairs that no edge joins. No edge tensor of width A is written, forward or backward; for the backward pass the
    output and a number per node and head are kept.

    Args:
        q: states of destinations. k, v: states of sources, already mapped.
        e: edge states, also bfloat16. We: the map of the edges. Both None for plain attention: q_e, k_e, v_e are 0
            and m_e is 1.
        bias: of the map; None for 0.
        heads: into which the A channels are cut, one after the other.
        scale: of the scores; ``A ** -0.5``, not by head, as in the authors' code, by default.

    Shapes: q ``[N, A]``, k and v ``[N, A]`` (a row a source), e ``[E, D]``, We ``[D, 4 A]``, bias ``[4 A]``; returns
    ``[N, A]`` in float32 (float64 for float64 edges), 0 for a node without edges. Raises ValueError for operands that
    do not fit the table or each other.

    >>> table = BlockTable.from_rows([[0, 0, 2, 1]], num_nodes=2)
    >>> q, v = torch.zeros(2, 1), torch.tensor([[1.0], [2.0]])
    >>> attention(q, q, v, None, None, table, heads=1)
    tensor([[0.0000],
            [1.5000]])
    """
    t = Attended(q, k, v, e, We, bias, heads, 1.0 if scale is None else float(scale))
    check_attended(t, table)
    t = t.in_compute_dtype() if scale is not None else replace(t.in_compute_dtype(), scale=q.shape[1] ** -0.5)
    return reference.attention(t, table) if _back_end(t) == "reference" else attend(t, table)


def _back_end(t: Attended) -> str:
    chosen = backend(t.q.device, "attention")
    if chosen != "triton" or t.fits_a_gpu():
        return chosen
    what = f"{t.channels} channels of a head by {t.edge_width} numbers of an edge"
    warn_once(f"attention runs in plain torch: {what} are too many for the Triton kernels; use more heads")
    return "reference"
