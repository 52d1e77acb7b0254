"""Blocks of a table that are dense tensors: runs of rows with as many edges each, found once a table."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphs.kernels import BlockTable

# Runs after which a pattern is looked for again: no network of the benchmark has more blocks.
_LONGEST_PERIOD = 32
_KEPT = 64


@dataclass(frozen=True)
class Block:
    """``repeats`` times ``rows`` nodes, each entered by ``count`` edges.

    Args:
        target: nodes entered ``[repeats * rows]``.
        source: nodes from which the edges come, as ``source_shape``: ``[repeats, 1, count]`` where all rows share them.
    """

    rows: int
    count: int
    target: Tensor
    source: Tensor
    source_shape: tuple[int, int, int]


@dataclass(frozen=True)
class Group:
    """Consecutive edges ``[repeats, sum(sizes)]``: a pattern of blocks, as often as there are networks of it."""

    first: int
    repeats: int
    sizes: list[int]
    blocks: list[Block]


_found: OrderedDict[int, list[Group]] = OrderedDict()


def groups(table: BlockTable) -> list[Group]:
    """The table as dense blocks; the same table, made anew, is not searched again."""
    if "_dense_groups" not in table.__dict__:
        table.__dict__["_dense_groups"] = _of_equal_tables(table)
    return table.__dict__["_dense_groups"]


def _of_equal_tables(table: BlockTable) -> list[Group]:
    key = hash((table.rows.cpu().numpy().tobytes(), None if table.col is None else table.col.cpu().numpy().tobytes()))
    if key not in _found:
        _found[key] = _search(table)
        if len(_found) > _KEPT:
            _found.popitem(last=False)
    return _found[key]


def _search(table: BlockTable) -> list[Group]:
    rows = table.rows.cpu().numpy()
    rows = rows[rows[:, 2] > 0]
    source = table.source().cpu().numpy()
    runs = _runs(rows, source)
    found, i, device = [], 0, table.rows.device
    while i < len(runs):
        period, repeats = _pattern(runs, i)
        first_row = sum(int(n) for n in runs[:i, 0])
        found.append(_group(rows[first_row:], runs[i : i + period], repeats, source, device))
        i += period * repeats
    return found


def _runs(rows: np.ndarray, source: np.ndarray) -> np.ndarray:
    """``(rows, count, shared)`` of the runs: rows of one count, and of the same sources where many are."""
    if not len(rows):
        return np.zeros((0, 3), dtype=np.int64)
    same_count = np.r_[False, rows[1:, 2] == rows[:-1, 2]]
    count = np.repeat(rows[:, 2], rows[:, 2])
    edges = np.arange(len(source))
    same = np.minimum.reduceat(source == source[np.maximum(edges - count, 0)], rows[:, 0])
    goes_on = same_count & same
    shared = 2 * np.count_nonzero(goes_on) >= len(rows)
    starts = np.flatnonzero(~(goes_on if shared else same_count))
    sizes = np.diff(np.r_[starts, len(rows)])
    return np.stack([sizes, rows[starts, 2], np.full_like(sizes, shared)], axis=1)


def _pattern(runs: np.ndarray, i: int) -> tuple[int, int]:
    """The period and the number of repeats that cover most runs from i on."""
    best = (1, 1)
    for period in range(1, min(_LONGEST_PERIOD, len(runs) - i) + 1):
        whole = (len(runs) - i) // period
        repeated = runs[i : i + whole * period].reshape(whole, -1)
        differ = np.flatnonzero((repeated != repeated[0]).any(axis=1))
        repeats = int(differ[0]) if len(differ) else whole
        if repeats > 1 and period * repeats > best[0] * best[1]:
            best = (period, repeats)
    return best


def _group(rows: np.ndarray, runs: np.ndarray, repeats: int, source: np.ndarray, device: torch.device) -> Group:
    pattern = rows[: repeats * int(runs[:, 0].sum())].reshape(repeats, -1, 4)
    sizes, blocks, at = [], [], 0
    edges = source[pattern[0, 0, 0] :][: int(pattern[..., 2].sum())].reshape(repeats, -1)
    for number, count, shared in runs.tolist():
        taken = edges[:, sum(sizes) :][:, : number * count].reshape(repeats, number, count)
        taken = taken[:, :1] if shared else taken
        blocks.append(
            Block(
                number,
                count,
                torch.from_numpy(pattern[:, at : at + number, 3].reshape(-1)).to(device),
                torch.from_numpy(taken.reshape(-1)).to(device),
                taken.shape,
            )
        )
        sizes.append(number * count)
        at += number
    return Group(int(pattern[0, 0, 0]), repeats, sizes, blocks)
