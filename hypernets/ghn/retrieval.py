"""The nearest architectures to one: cosines between embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Rows compared at once: 10^6 architectures then take no more than a quarter of a GB beside themselves.
ROWS = 64


def nearest(queries: Tensor, among: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` nearest of ``among`` to each query, the nearest first.

    Similarity is the cosine after the mean of ``among`` is taken off and every feature divided by its deviation there:
    the nodes of all networks have much in common, so that plain cosines are all near 1.

    Args:
        queries: ``[Q, F]``. among: ``[A, F]``, embeddings of the same hypernetwork.
        count: how many, at most A.

    Shapes: similarities in [-1, 1] ``[Q, count]``, their rows of ``among`` ``[Q, count]`` int64.

    Raises ValueError for other shapes and counts.

    >>> among = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> nearest(torch.tensor([[0.9, 0.2]]), among, 2)[1].tolist()
    [[0, 1]]
    """
    if queries.ndim != 2 or among.ndim != 2 or queries.shape[1] != among.shape[1]:
        raise ValueError(
            f"expected queries [Q, F] and among [A, F] of one width, got {list(queries.shape)} and "
            f"{list(among.shape)}; embed both with the same hypernetwork"
        )
    if not 1 <= count <= len(among):
        raise ValueError(f"expected a count from 1 to {len(among)}, the number of architectures, got {count}")
    rows, own = _directions(queries, among), _directions(among, among)
    found = [(part @ own.T).topk(count) for part in rows.split(ROWS)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def same_first(embeddings: Tensor, families: Sequence[str]) -> Tensor:
    """Whether the nearest other architecture is of the same family, for each of them as the query.

    Shapes: embeddings ``[A, F]``, families A names; ``[A]`` bool. Raises ValueError for fewer than two.

    >>> embeddings = torch.tensor([[2.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [-1.0, -2.0]])
    >>> same_first(embeddings, ["a", "a", "b", "b"]).all().item()
    True
    """
    if len(families) != len(embeddings) or len(families) < 2:
        raise ValueError(
            f"expected a family for each of two embeddings or more, got {len(families)} for {list(embeddings.shape)}"
        )
    unit = _directions(embeddings, embeddings)
    similar = (unit @ unit.T).fill_diagonal_(-torch.inf)
    first = similar.argmax(1).tolist()
    return torch.tensor([families[i] == family for i, family in zip(first, families, strict=True)])


def _directions(x: Tensor, among: Tensor) -> Tensor:
    """Rows of length 1, centred and scaled as ``among`` is; a feature that is the same in all of it counts nothing."""
    among = among.double()
    centre, spread = among.mean(0), among.std(0, correction=0)
    spread = torch.where(spread > 1e-6 * (1 + centre.abs()), spread, torch.inf)
    return torch.nn.functional.normalize((x.double() - centre) / spread, dim=1)
