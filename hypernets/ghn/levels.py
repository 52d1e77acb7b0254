"""The order in which messages travel through an acyclic graph: level by level, forward and backward."""

from __future__ import annotations

import torch
from torch import Tensor


def topological_levels(distance: Tensor) -> Tensor:
    """``[2, N]`` int64 on the CPU: the number of edges on the longest path to each node, and from it.

    Every node that a node reads has a lower first level; every node that reads it has a lower second level. Nodes of
    one level can therefore be updated at once, which gives what one node after the other gives.

    Args:
        distance: ``[N, N]``, 1 at an edge from the node of the row to that of the column.

    Raises ValueError for an edge to an earlier node or to itself.

    >>> topological_levels(torch.tensor([[0, 1, 1], [0, 0, 1], [0, 0, 0]])).tolist()
    [[0, 1, 2], [2, 1, 0]]
    """
    edges: list[list[int]] = (distance == 1).nonzero().tolist()
    backward = [edge for edge in edges if edge[0] >= edge[1]]
    if backward:
        raise ValueError(f"expected edges to later nodes only, got {tuple(backward[0])}; sort the nodes topologically")
    deep, high = [0] * len(distance), [0] * len(distance)
    # Sorted by producer, so that a level is final before it is read.
    for producer, consumer in edges:
        deep[consumer] = max(deep[consumer], deep[producer] + 1)
    for producer, consumer in reversed(edges):
        high[producer] = max(high[producer], high[consumer] + 1)
    return torch.tensor([deep, high])
