"""Whole-numbered null vectors of a matrix of derivatives, sparse ones first."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

# Singular values of columns of unit size below this are roundoff; a violation that is real but smaller is left to
# the forward passes that verify every null vector.
NULL = 1e-8
LARGEST = 6


def null_vectors(rows: Array) -> list[Array]:
    """A basis of the whole-numbered ``v`` with ``rows @ v = 0``, of few and small entries, the first one positive.

    >>> null_vectors(np.array([[2.0, 1.0, 3.0], [1.0, 1.0, 2.0]]))
    [array([ 1,  1, -1])]
    """
    size = np.sqrt((rows**2).mean(0))
    _, values, directions = np.linalg.svd(rows / size, full_matrices=len(rows) < rows.shape[1])
    values = np.concatenate([values, np.zeros(rows.shape[1] - len(values))])
    null = directions[values < NULL * np.sqrt(len(rows))] / size
    whole = [v for row in _reduced(null) if (v := _whole(row)) is not None]
    return [v if v[v.nonzero()[0][0]] > 0 else -v for v in _sparse(whole)]


def independent(rows: Array) -> list[int]:
    """Numbers of the rows that are no sum of multiples of those before."""
    basis: list[Array] = []
    chosen = []
    for i, row in enumerate(rows):
        rest = row
        for _ in range(2):  # once more, for the roundoff of the first time
            rest = rest - sum((b * (b @ rest) for b in basis), np.zeros_like(row))
        if np.linalg.norm(rest) > 1e-9 * np.linalg.norm(row):
            basis.append(rest / np.linalg.norm(rest))
            chosen.append(i)
    return chosen


def _reduced(rows: Array) -> Array:
    """Reduced row echelon form."""
    rows = rows / np.abs(rows).max(1, initial=1e-300, keepdims=True)
    done = 0
    for column in range(rows.shape[1]):
        if done == len(rows):
            break
        pivot = done + int(np.abs(rows[done:, column]).argmax())
        if abs(rows[pivot, column]) < 1e-6:
            continue
        rows[[done, pivot]] = rows[[pivot, done]]
        rows[done] /= rows[done, column]
        others = np.arange(len(rows)) != done
        rows[others] -= rows[others, column : column + 1] * rows[done]
        done += 1
    return rows[:done]


def _whole(row: Array) -> Array | None:
    """The smallest whole multiple of a row; None where there is no small one."""
    for factor in range(1, LARGEST + 1):
        scaled = row * factor
        if np.abs(scaled - scaled.round()).max() < 1e-4 and np.abs(scaled).max() <= LARGEST + 0.5:
            return scaled.round().astype(int)
    return None


def _sparse(rows: list[Array]) -> list[Array]:
    """The same span, with entries removed by adding rows to one another."""
    rows = list(rows)
    improved = True
    while improved:
        improved = False
        for i in range(len(rows)):
            for j in range(len(rows)):
                for sign in (1, -1) if i != j else ():
                    other = rows[i] + sign * rows[j]
                    if np.count_nonzero(other) < np.count_nonzero(rows[i]):
                        rows[i], improved = other, True
    return rows
