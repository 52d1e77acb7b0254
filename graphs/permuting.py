"""Weights moved by permutations of sites: the rows and columns of every parameter are permuted, use by use."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphs.boxes import spread
from graphs.memory import copy
from graphs.topology import ParameterBlock, Topology

Array = np.ndarray

# Elements that are moved at a time.
_AT_A_TIME = 2**18


def permute(topology: Topology, images: Sequence[Array], weights: Tensor) -> None:
    """Move ``weights [P]`` in place: what stands at entries (t, s) goes to entries ``(images[target][t],
    images[source][s])`` of the same use, at the same tap.

    Args:
        images: entry to which each entry goes, of every site.
    """
    for parameter, uses in uses_of(topology).items():
        entry = topology.layout.entries[parameter]
        assert entry.offset is not None
        own = weights[entry.offset : entry.offset + entry.numel]
        original = copy(own)
        written: list[list[ParameterBlock]] = []
        whole = False
        for blocks in uses:
            moves = _moves(blocks, images, original, own, entry.offset)
            if whole:
                assert _agree(moves), f"the uses of {entry.name} move it differently"
                continue
            for destination, values in moves:
                destination.copy_(values)
            written.append(blocks)
            whole = len(blocks) == 1 and math.prod(a.size for a in blocks[0].axes) == entry.numel
        for blocks in written[:-1]:
            moves = _moves(blocks, images, original, own, entry.offset)
            assert _agree(moves), f"the uses of {entry.name} move it differently"


def _agree(moves: Iterable[tuple[Tensor, Tensor]]) -> bool:
    return all(_same_bits(values, there) for there, values in moves)


def uses_of(topology: Topology) -> dict[int, list[list[ParameterBlock]]]:
    """The uses of each parameter by neurons: blocks of one source and target."""
    uses: dict[int, dict[tuple, list[ParameterBlock]]] = {}
    for block in topology.blocks:
        if block.source is not None or block.target is not None:
            uses.setdefault(block.parameter, {}).setdefault((block.source, block.target), []).append(block)
    return {parameter: list(found.values()) for parameter, found in uses.items()}


def _moves(
    blocks: list[ParameterBlock], images: Sequence[Array], original: Tensor, own: Tensor, first: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Where values of one use go, as views into ``own``, and the values."""
    target = None if blocks[0].target is None else images[blocks[0].target]
    source = None if blocks[0].source is None else images[blocks[0].source]
    before, after = _views(blocks, original, first), _views(blocks, own, first)
    table = _table(blocks)
    if table is None:
        yield from zip(after, _moved_one_by_one(blocks, before, target, source), strict=True)
        return
    rows, columns = _origin(table.rows, target), _origin(table.columns, source)
    if len(blocks) == 1:
        yield from table.move_rows(before[0], after[0], rows, columns)
    else:
        moved = _select(_select(table.join(before), 0, rows), 1, columns)
        yield from zip(after, table.split(moved, before), strict=True)


def _views(blocks: list[ParameterBlock], own: Tensor, first: int) -> list[Tensor]:
    return [
        own.as_strided([a.size for a in b.axes], [a.stride for a in b.axes], own.storage_offset() + b.offset - first)
        for b in blocks
    ]


def _same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal, NaN with NaN."""
    number = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    return torch.equal(a.contiguous().view(number), b.contiguous().view(number))


# ---- the usual use: all its target entries with all its source entries


@dataclass(frozen=True)
class _Table:
    """A use as a full table of target entries, source entries and taps.

    Args:
        rows, columns: the entries, sorted.
        parts: of each block, its axes as (rows, columns, taps), and the rows and columns where it stands.
    """

    rows: Array
    columns: Array
    parts: list[tuple[list[int], Array, Array]]

    def move_rows(self, before: Tensor, after: Tensor, rows: Array, columns: Array) -> Iterator[tuple[Tensor, Tensor]]:
        """The moves of the only block, some rows at a time: what is copied stays in the cache."""
        order, r, c = self.parts[0]
        rows, columns = _inverse(r)[rows[r]], _inverse(c)[columns[c]]
        before, after = before.permute(order), after.permute(order)
        if len(r) == 1:
            before, after = before[None], after[None]
        table, per_slice = before.reshape(len(r), len(c), -1), len(r) // len(after)
        table = table.squeeze(2)  # many times faster where there is one tap
        step = max(1, _AT_A_TIME // max(1, after[0].numel()))
        for i in range(0, len(after), step):
            there = after[i : i + step]
            chosen = torch.from_numpy(rows[i * per_slice : (i + step) * per_slice])
            yield there, _select(table.index_select(0, chosen), 1, columns).reshape(there.shape)

    def join(self, views: list[Tensor]) -> Tensor:
        """The values as ``[rows, columns, taps]``."""
        pieces = [
            view.permute(order).reshape(len(rows), len(columns), view.numel() // (len(rows) * len(columns)))
            for view, (order, rows, columns) in zip(views, self.parts, strict=True)
        ]
        table = pieces[0].new_empty(len(self.rows), len(self.columns), pieces[0].shape[2])
        for piece, (_, rows, columns) in zip(pieces, self.parts, strict=True):
            table[torch.from_numpy(rows)[:, None], torch.from_numpy(columns)] = piece
        return table

    def split(self, table: Tensor, views: list[Tensor]) -> list[Tensor]:
        """What :meth:`join` joined, in the shapes of the blocks."""
        return [
            _select(_select(table, 0, rows), 1, columns)
            .reshape([view.shape[i] for i in order])
            .permute(np.argsort(order).tolist())
            for view, (order, rows, columns) in zip(views, self.parts, strict=True)
        ]


def _table(blocks: list[ParameterBlock]) -> _Table | None:
    """None where some axis advances both ends (a depthwise kernel), or the blocks do not fill a table."""
    if any(a.target and a.source for b in blocks for a in b.axes) or len({b.taps for b in blocks}) > 1:
        return None
    ends = [(_entries(b, "target"), _entries(b, "source")) for b in blocks]
    rows, columns = (np.unique(np.concatenate(entries)) for entries in zip(*ends, strict=True))
    parts = [
        (_order(b), np.searchsorted(rows, r), np.searchsorted(columns, c))
        for b, (r, c) in zip(blocks, ends, strict=True)
    ]
    return _Table(rows, columns, parts) if len(parts) == 1 or _fill(parts, len(rows), len(columns)) else None


def _fill(parts: list[tuple[list[int], Array, Array]], rows: int, columns: int) -> bool:
    """Whether every cell of the table belongs to one block."""
    count = np.zeros((rows, columns), dtype=np.int32)
    for _, r, c in parts:
        count[r[:, None], c] += 1
    return bool((count == 1).all())


def _entries(block: ParameterBlock, end: str) -> Array:
    axes = [(a.size, getattr(a, end)) for a in block.axes if getattr(a, end)]
    return spread(getattr(block, f"first_{end}"), axes).reshape(-1)


def _order(block: ParameterBlock) -> list[int]:
    """Target axes, source axes, taps, each in their order."""
    return sorted(range(len(block.axes)), key=lambda i: (block.axes[i].target == 0, block.axes[i].is_tap))


def _origin(entries: Array, image: Array | None) -> Array:
    """Which of the entries each of them receives."""
    if image is None:
        return np.arange(len(entries))
    place = np.minimum(np.searchsorted(entries, image[entries]), len(entries) - 1)
    assert np.array_equal(entries[place], image[entries]), "a symmetry maps the entries of a use to themselves"
    return _inverse(place)


def _inverse(permutation: Array) -> Array:
    inverse = np.empty_like(permutation)
    inverse[permutation] = np.arange(len(permutation))
    return inverse


def _select(values: Tensor, dim: int, index: Array) -> Tensor:
    if len(index) == values.shape[dim] and np.array_equal(index, np.arange(len(index))):
        return values
    return values.index_select(dim, torch.from_numpy(index))


# ---- any use: every element found by its entries


def _moved_one_by_one(
    blocks: list[ParameterBlock], views: list[Tensor], target: Array | None, source: Array | None
) -> list[Tensor]:
    t, s, tap = elements(blocks)
    here = _names(t, s, tap)
    there = _names(t if target is None else target[t], s if source is None else source[s], tap)
    if np.array_equal(here, there):
        return views  # pinned elements may share their entries
    order = here.argsort()
    destination = order[np.minimum(np.searchsorted(here, there, sorter=order), len(here) - 1)]
    assert np.array_equal(here[destination], there), "a symmetry maps the elements of a use to themselves"
    assert (np.bincount(destination, minlength=len(here)) == 1).all(), "a symmetry permutes the weights"
    values = torch.cat([view.reshape(-1) for view in views])[torch.from_numpy(_inverse(destination))]
    pieces = values.split([view.numel() for view in views])
    return [piece.view(view.shape) for piece, view in zip(pieces, views, strict=True)]


def elements(blocks: list[ParameterBlock]) -> tuple[Array, Array, Array]:
    """Target entry, source entry and tap number of every element of the blocks."""
    columns: tuple[list[Array], ...] = ([], [], [])
    for block in blocks:
        columns[0].append(spread(block.first_target, [(a.size, a.target) for a in block.axes]).reshape(-1))
        columns[1].append(spread(block.first_source, [(a.size, a.source) for a in block.axes]).reshape(-1))
        taps = int(np.prod(block.taps))
        columns[2].append(np.tile(np.arange(taps), len(columns[0][-1]) // taps))
    target, source, tap = (np.concatenate(c) for c in columns)
    return target, source, tap


def _names(target: Array, source: Array, tap: Array) -> Array:
    """One number a (target, source, tap)."""
    return (target * (int(source.max(initial=0)) + 1) + source) * (int(tap.max(initial=0)) + 1) + tap
