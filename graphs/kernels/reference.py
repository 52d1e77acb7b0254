"""Message passing in plain torch: short, on any device, differentiable twice; the ground truth of every kernel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphs.kernels.table import BlockTable

STD_EPSILON = 1e-5


def segment_reduce(src: Tensor, table: BlockTable, reduce: tuple[str, ...] = ("sum",)) -> tuple[Tensor, ...]:
    """Reduce the edges into each destination node, several reductions at once.

    ``std`` is ``sqrt(relu(mean(x^2) - mean(x)^2) + 1e-5)``, the aggregator of PNA (https://arxiv.org/abs/2004.05718);
    a node without edges gets 0 (and ``sqrt(1e-5)`` for std).

    Args:
        src: ``[E, F]`` values of the edges, in the order of the table.
        table: rows of edges; see :class:`BlockTable`.
        reduce: names among sum, mean, max, min, std.

    Shapes: returns one ``[N, F]`` per name. Raises ValueError for an unknown name or another number of edges.
    """
    unknown = [name for name in reduce if name not in _REDUCTIONS]
    if unknown:
        raise ValueError(f"unknown reduction {unknown[0]!r}; choose among {sorted(_REDUCTIONS)}")
    if src.dim() != 2 or src.shape[0] != table.num_edges:
        raise ValueError(f"expected edge values of shape [{table.num_edges}, F], got {tuple(src.shape)}")
    return tuple(_REDUCTIONS[name](src, table) for name in reduce)


def gather_message_reduce(
    x: Tensor,
    e: Tensor,
    table: BlockTable,
    message: Callable[[Tensor, Tensor, Tensor], Tensor],
    reduce: tuple[str, ...] = ("sum",),
) -> tuple[Tensor, ...]:
    """``reduce`` over the edges into each node of ``message(x_source, x_destination, e)``.

    Args:
        x: node states ``[N, F]``.
        e: edge states ``[E, D]``.
        table: rows of edges.
        message: maps ``[E, F], [E, F], [E, D]`` to ``[E, G]``.

    Shapes: one ``[N, G]`` per reduction. Raises ValueError when x is not one row a node.
    """
    if x.shape[0] != table.num_nodes:
        raise ValueError(f"expected node states of shape [{table.num_nodes}, F], got {tuple(x.shape)}")
    source, target = x.index_select(0, table.source()), x.index_select(0, table.target())
    return segment_reduce(message(source, target, e), table, reduce)


def _sum(src: Tensor, table: BlockTable) -> Tensor:
    return src.new_zeros(table.num_nodes, src.shape[1]).index_add(0, table.target(), src)


def _mean(src: Tensor, table: BlockTable) -> Tensor:
    return _sum(src, table) / table.degree.clamp(min=1).to(src.dtype)[:, None]


def _extreme(src: Tensor, table: BlockTable, kind: str) -> Tensor:
    index = table.target()[:, None].expand_as(src)
    # Not zeros: an edge value of 0 would tie with them, and lose half its gradient.
    least = src.new_full((table.num_nodes, src.shape[1]), -torch.inf if kind == "amax" else torch.inf)
    return torch.where(table.degree[:, None] > 0, least.scatter_reduce(0, index, src, kind), 0)


def _std(src: Tensor, table: BlockTable) -> Tensor:
    mean = _mean(src, table)
    return torch.sqrt(torch.relu(_mean(src * src, table) - mean * mean) + STD_EPSILON)


_REDUCTIONS: dict[str, Callable[[Tensor, BlockTable], Tensor]] = {
    "sum": _sum,
    "mean": _mean,
    "max": lambda src, table: _extreme(src, table, "amax"),
    "min": lambda src, table: _extreme(src, table, "amin"),
    "std": _std,
}
