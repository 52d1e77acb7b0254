"""Principal components of a matrix that comes in pieces of columns."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Projection:
    """Rows seen from their principal components.

    Args:
        scores: ``[N, K]``.
        shares: ``[K]``, the share of the total variance along each.
    """

    scores: "np.ndarray"
    shares: "np.ndarray"


def principal_components(pieces: Iterable["np.ndarray"], count: int = 2) -> Projection:
    """The first principal components of N rows.

    The Gram matrix ``[N, N]`` is summed over the pieces, so memory does not grow with the number of columns, and the
    result is that of an SVD of the whole centred matrix.

    Args:
        pieces: columns of the matrix, ``[N, w]`` each; at least one.
        count: how many components; fewer rows have fewer.

    >>> import numpy as np
    >>> p = principal_components([np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [2.0], [4.0]])], 1)
    >>> p.shares.round(6).tolist(), np.abs(p.scores).round(3).tolist()
    ([1.0], [[2.236], [0.0], [2.236]])
    """
    import numpy as np
    from scipy.linalg import eigh

    gram = sum((_products(piece) for piece in pieces), np.zeros(()))
    rows = len(gram)
    values, vectors = eigh(gram, subset_by_index=(max(0, rows - count), rows - 1))
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    total = np.trace(gram)
    # The sign of a component is free: its largest entry is made positive, so that equal zoos give equal pages.
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], 0)
    return Projection(vectors * np.sign(largest) * np.sqrt(values), values / total if total > 0 else values)


def _products(piece: "np.ndarray") -> "np.ndarray":
    centred = piece - piece.mean(0)
    return centred @ centred.T


def standardised(values: "np.ndarray") -> "np.ndarray":
    """Columns ``[N, F]`` with mean 0 and standard deviation 1; those that do not vary become 0."""
    import numpy as np

    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread > 0, spread, np.inf)
