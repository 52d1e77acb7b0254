"""Which nodes are the classifier: the last weight before an output, with the bias behind it."""

from __future__ import annotations

from dataclasses import replace

from graphs.op_graph import ComputationGraph
from hypernets.ghn.target import Target

WEIGHTS = "conv"
# What may stand between the classifier and the output.
_TRANSPARENT = frozenset(["output", "glob_avg", "avg_pool", "softmax"])
_DECODERS = {("weight", "weight"): "classifier", ("vector", "shift"): "classifier_bias"}


def head_nodes(graph: ComputationGraph) -> frozenset[int]:
    """Numbers of the nodes of classifier weights and biases in a reduced graph; none where a network ends otherwise.

    >>> from torch import nn, zeros
    >>> from graphs import computation_graph
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> sorted(head_nodes(computation_graph(net, zeros(1, 4)).reduced()))
    [3, 4]
    """
    found: set[int] = set()
    consumed = {p for before in graph.predecessors for p in before}
    for last in (i for i in range(graph.num_nodes) if i not in consumed):
        found |= _walk(graph, last)
    return frozenset(found)


def _walk(graph: ComputationGraph, at: int) -> set[int]:
    """From the end of the graph to the first weight, as long as there is one way."""
    passed: set[int] = set()
    while True:
        node, before = graph.nodes[at], graph.predecessors[at]
        if node.name == WEIGHTS and node.parameters:
            return passed | {at}
        if node.name == "bias":
            passed.add(at)
        elif node.name not in _TRANSPARENT or node.parameters:
            return set()
        if len(before) != 1:
            return set()
        at = before[0]


def as_head(target: Target) -> Target:
    """The target of a classifier's node, to be written by the heads of the hypernetwork."""
    _, _, height, width = target.canonical
    if height * width > 1:
        return target
    return replace(target, decoder=_DECODERS.get((target.decoder, target.kind), target.decoder))
