"""How the edges are dealt to the programs of a GPU: pieces of at most 32 edges that meet in one node."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

# A tile holds pieces of one of these widths, so that rows of two edges and rows of 10^5 both fill it.
WIDTHS = (32, 8, 2)
# Below this number of edges in a run, on average, edges are sorted and listed: pieces would hold an edge or two each.
EDGES_OF_A_RUN = 4


@dataclass(frozen=True)
class Runs:
    """Edges ``first + t * stride`` (t < count) that meet in ``node``; a node may have several runs.

    ``other + t`` is the far end of edge t, or where it is looked up; see :class:`Plan`.
    """

    first: Tensor
    other: Tensor
    stride: Tensor
    count: Tensor
    node: Tensor


@dataclass(frozen=True)
class Pieces:
    """Parts of runs, of at most ``width`` edges each.

    Args:
        first, other, stride: as in :class:`Runs`, int64. count, node: int32.
        slot: row of the partial results that the piece fills, int32; -1 where it is the only one of its node.
    """

    width: int
    first: Tensor
    other: Tensor
    stride: Tensor
    count: Tensor
    node: Tensor
    slot: Tensor


@dataclass(frozen=True)
class Plan:
    """The pieces of a sweep, and how partial results of one node are combined: by the plan ``rest``, in a fixed order.

    Args:
        order: how an edge t of a piece and its far end are found. "rows": edge ``first + t``, from source ``other + t``
            (``ends[edge]`` with ends). "columns": edge ``first + t stride``, into ``ends[other + t]``. "listed rows",
            "listed columns": edge ``edges[first + t]``, with far end ``ends[first + t]``.
        slots: number of partial results.
    """

    order: str
    pieces: tuple[Pieces, ...]
    slots: int
    rest: Plan | None
    ends: Tensor | None = None
    edges: Tensor | None = None


def by_destination(rows: Tensor, col: Tensor | None, num_nodes: int) -> Plan:
    """The plan that reduces edges into their destinations; made once per rows tensor.

    Shapes: rows ``[R, 4]``, col ``[E]`` or None. Raises ValueError for 2^31 nodes or more.
    """
    return _once(rows, col, ("rows", num_nodes), lambda: _by_destination(rows, col, num_nodes))


def by_source(rows: Tensor, col: Tensor | None, num_sources: int) -> Plan:
    """The plan that reduces edges into their sources; made once per rows tensor. Shapes, Raises: as above."""
    return _once(rows, col, ("sources", num_sources), lambda: _by_source(rows, col, num_sources))


# Plan by (kind, nodes), by col (by rows itself without), by rows: whichever tensor dies takes its plans along.
_PLANS: MutableMapping[Tensor, MutableMapping[Tensor, dict[tuple[str, int], Plan]]] = WeakTensorKeyDictionary()
_NO_COL = torch.empty(0)


def _once(rows: Tensor, col: Tensor | None, key: tuple[str, int], make: Callable[[], Plan]) -> Plan:
    if key[1] >= 2**31:
        raise ValueError(f"expected fewer than 2^31 nodes, got {key[1]}; split the batch")
    by_col = _PLANS.setdefault(rows, WeakTensorKeyDictionary())
    plans = by_col.setdefault(_NO_COL if col is None else col, {})
    if key not in plans:
        plans[key] = make()
    return plans[key]


def _by_destination(rows: Tensor, col: Tensor | None, num_nodes: int) -> Plan:
    rows = rows[rows[:, 2] > 0]
    first, source, count, node = rows.unbind(1)
    if len(rows) > max(int(count.sum()) // EDGES_OF_A_RUN, 2 * len(node.unique())):
        return _listed("listed rows", rows, col, num_nodes)
    # An own tensor object: the plan must not keep alive the key under which it lies.
    ends = None if col is None else col.detach()
    return _cut("rows", Runs(first, source, torch.ones_like(count), count, node), num_nodes, ends=ends)


def _by_source(rows: Tensor, col: Tensor | None, num_sources: int) -> Plan:
    rows = rows[rows[:, 2] > 0]
    first, source, count, node = rows.unbind(1)
    starts = _starts_of_blocks(source, count)
    if col is not None or int(count[starts].sum()) * EDGES_OF_A_RUN > int(count.sum()):
        return _listed("listed columns", rows, col, num_sources)
    # In a block of equal rows, the edges out of a source lie as far apart as a row is long.
    height = torch.diff(starts, append=starts.new_tensor([len(rows)]))
    block, within = _spread(count[starts])
    at = starts[block]
    runs = Runs(first[at] + within, at, count[at], height[block], source[at] + within)
    return _cut("columns", runs, num_sources, ends=node.contiguous())


def _starts_of_blocks(source: Tensor, count: Tensor) -> Tensor:
    """The rows that differ from the row before in their sources."""
    new = torch.ones_like(count, dtype=torch.bool)
    new[1:] = (source.diff() != 0) | (count.diff() != 0)
    return new.nonzero()[:, 0]


def _listed(order: str, rows: Tensor, col: Tensor | None, num_nodes: int) -> Plan:
    """The plan of edges that are sorted by the end that they meet in."""
    row, within = _spread(rows[:, 2])
    ends = rows[row, 1] + within if col is None else col, rows[row, 3]
    near, far = ends if order == "listed columns" else ends[::-1]
    node, edges = torch.sort(near, stable=True)
    count = torch.bincount(node, minlength=num_nodes)
    first, every = count.cumsum(0) - count, torch.arange(num_nodes, device=rows.device)
    runs = Runs(first, first, torch.ones_like(count), count, every)
    return _cut(order, runs, num_nodes, ends=far[edges], edges=edges)


def _spread(count: Tensor) -> tuple[Tensor, Tensor]:
    """For every item of groups of ``count`` items, its group and its number within the group."""
    group = torch.repeat_interleave(count)
    return group, torch.arange(len(group), device=count.device) - (count.cumsum(0) - count)[group]


def _cut(order: str, runs: Runs, num_nodes: int | None, **ends: Any) -> Plan:
    """The plan of runs; all ``num_nodes`` nodes get a result, also those without edges (not so with None)."""
    pieces, starts = _pieces_of_runs(runs.count)
    # Partial results of a node lie side by side, in the order of its runs.
    node, by_node = torch.sort(runs.node, stable=True)
    size = int(runs.node.max()) + 1 if num_nodes is None and len(node) else num_nodes or 0
    per_node = pieces.new_zeros(size).index_add(0, runs.node, pieces)
    several = pieces[by_node] * (per_node[node] > 1)
    slot = torch.empty_like(pieces).index_copy_(0, by_node, several.cumsum(0) - several)
    empty = (per_node == 0).nonzero()[:, 0] if num_nodes is not None else per_node[:0]
    cut = tuple(
        _of_width(width, runs, starts[k], starts[k + 1], slot, per_node, empty if k == len(WIDTHS) - 1 else empty[:0])
        for k, width in enumerate(WIDTHS)
    )
    return Plan(order, cut, int(several.sum()), _rest(per_node), **ends)


def _rest(per_node: Tensor) -> Plan | None:
    """The plan that combines the partial results of the nodes that have several pieces."""
    node = (per_node > 1).nonzero()[:, 0]
    if not len(node):
        return None
    count = per_node[node]
    first = count.cumsum(0) - count
    return _cut("rows", Runs(first, first, torch.ones_like(count), count, node), None)


def _pieces_of_runs(count: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """How many pieces each run has, and for each width (their first edge, the pieces before them); the last one ends.

    A remainder goes to a wider piece where it fills most of it.
    """
    edges, pieces, left = torch.zeros_like(count), torch.zeros_like(count), count
    starts = []
    for width in WIDTHS:
        rest = left % width
        number = left // width + ((rest > 0) if width == WIDTHS[-1] else (rest > width - width // 4))
        starts.append((edges, pieces))
        edges, pieces = edges + number * width, pieces + number
        left = (left - number * width).clamp(min=0)
    return pieces, [*starts, (edges, pieces)]


def _of_width(
    width: int,
    runs: Runs,
    start: tuple[Tensor, Tensor],
    end: tuple[Tensor, Tensor],
    slot: Tensor,
    per_node: Tensor,
    empty: Tensor,
) -> Pieces:
    run, number = _spread(end[1] - start[1])
    edge = start[0][run] + number * width
    stride, node = runs.stride[run], runs.node[run]
    into = torch.where(per_node[node] > 1, slot[run] + start[1][run] + number, -1)
    zero = torch.zeros_like(empty)
    wide = runs.first[run] + edge * stride, runs.other[run] + edge, stride
    narrow = (runs.count[run] - edge).clamp(max=width), node, into
    columns = [torch.cat([value, zero]) for value in wide]
    columns += [torch.cat(pair).int() for pair in zip(narrow, (zero, empty, zero - 1), strict=True)]
    return Pieces(width, *columns)
