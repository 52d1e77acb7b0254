"""Strided boxes: index arrays written as a few (size, step) axes, and back.

A parameter, seen from the graph, is a box: every axis advances the offset in P, the target entry and the source entry
by constant steps. Fused qkv, ``[in, out]`` storage, grouped and depthwise kernels and flattened maps are such boxes.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def factor(vectors: Array) -> list[tuple[int, tuple[int, ...]]] | None:
    """``vectors [n, m]`` as ``vectors[0] + sum_k digit_k(i) * step_k``: ``[(size, steps [m]), ...]``, outermost first;
    None where they are no box.

    >>> factor(np.array([[0, 0], [1, 0], [2, 1], [3, 1]]))
    [(2, (2, 1)), (2, (1, 0))]
    """
    n = len(vectors)
    if n <= 1:
        return []
    step, run = vectors[1] - vectors[0], _first_run(vectors)
    if n % run:
        return None
    rows = vectors.reshape(n // run, run, -1)
    if (rows - rows[:, :1] != np.arange(run)[:, None] * step).any():
        return None
    outer = factor(rows[:, 0])
    if outer is None:
        return None
    return [*outer, (run, tuple(int(s) for s in step))]


def pieces(vectors: Array) -> list[tuple[tuple[int, ...], list[tuple[int, tuple[int, ...]]]]]:
    """``vectors`` as boxes one after the other: ``[(first row, axes), ...]``; one box where they are one.

    >>> pieces(np.array([[0], [1], [2], [7], [5]]))
    [((0,), [(3, (1,))]), ((7,), [(2, (-2,))])]
    """
    found = []
    while len(vectors):
        whole = factor(vectors)
        run = len(vectors) if whole is not None else _first_run(vectors)
        box = whole if whole is not None else factor(vectors[:run])
        assert box is not None
        found.append((tuple(int(v) for v in vectors[0]), box))
        vectors = vectors[run:]
    return found


def _first_run(vectors: Array) -> int:
    """How many rows from the first on have one step."""
    breaks = np.flatnonzero((np.diff(vectors, axis=0) != vectors[1] - vectors[0]).any(1))
    return int(breaks[0]) + 1 if len(breaks) else len(vectors)


def spread(first: int, axes: list[tuple[int, int]] | tuple[tuple[int, int], ...]) -> Array:
    """``first + sum_k digit_k * step_k`` for axes ``(size, step)``, outermost first; shape is the sizes.

    >>> spread(1, [(2, 10), (2, 1)]).tolist()
    [[1, 2], [11, 12]]
    """
    out = np.full((), first, dtype=np.int64)
    for size, step in axes:
        out = out[..., None] + np.arange(size) * step
    return out
