"""Architectures for tests: random acyclic graphs, and one with a target of every kind."""

from __future__ import annotations

import torch

from graphs.op_graph import ComputationGraph, OpNode
from hypernets.ghn.architecture import PRIMITIVES, Architecture
from hypernets.ghn.target import Target


def random_architecture(nodes: int, chance: float, seed: int) -> Architecture:
    """A random acyclic graph of nodes with small square weights; ``chance`` is that of every edge."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(nodes, nodes, generator=generator).triu(1) > 1 - chance
    edges = tuple((int(a), int(b)) for a, b in drawn.nonzero())
    graph = ComputationGraph(tuple(OpNode("op", "conv") for _ in range(nodes)), edges)
    targets = tuple(
        Target(f"w{i}", (5, 3, 3, 3), i, "weight", "weight", (5, 3, 3, 3), (0, 1, 2, 3)) for i in range(0, nodes, 2)
    )
    return Architecture(
        torch.randint(len(PRIMITIVES), (nodes,), generator=generator),
        torch.randint(100, (nodes, 4), generator=generator),
        graph.shortest_paths(),
        targets,
    )


def every_kind(classes: int = 10) -> Architecture:
    """A path of nodes with a parameter of every decoder, kind and size: smaller, larger and no multiple of a block."""
    targets = (
        Target("stem.weight", (40, 3, 5, 5), 1, "weight", "weight", (40, 3, 5, 5), (0, 1, 2, 3), 0.2),
        Target("bn.weight", (40,), 2, "vector", "scale", (40, 1, 1, 1), (0,)),
        Target("bn.bias", (40,), 2, "vector", "shift", (40, 1, 1, 1), (0,)),
        Target("wide.weight", (21, 40, 3, 1), 3, "weight", "weight", (21, 40, 3, 1), (0, 1, 2, 3), 0.1),
        Target("large.weight", (4, 2, 9, 11), 4, "weight", "weight", (4, 2, 9, 11), (0, 1, 2, 3), 0.1),
        Target("swapped.weight", (21, 6), 5, "weight", "weight", (6, 21, 1, 1), (1, 0), 0.3),
        Target("table", (1, 7, 12), 6, "weight", "position", (7, 12, 1, 1), (0, 1, 2)),
        Target("head.weight", (classes, 21), 7, "classifier", "weight", (classes, 21, 1, 1), (0, 1), 0.3),
        Target("head.bias", (classes,), 8, "classifier_bias", "shift", (classes, 1, 1, 1), (0,)),
    )
    nodes = 9
    shape = torch.zeros(nodes, 4, dtype=torch.int64)
    for target in targets:
        shape[target.node] = torch.tensor(target.canonical)
    path = tuple((i, i + 1) for i in range(nodes - 1))
    graph = ComputationGraph(tuple(OpNode("op", "conv") for _ in range(nodes)), path)
    return Architecture(torch.arange(nodes), shape, graph.shortest_paths(), targets)
