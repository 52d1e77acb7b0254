"""The same graph in the words that a hypernetwork knows: nodes it never saw translated, or left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from graphs.op_graph import ComputationGraph, OpNode

# Of a word that is not known, the one nearest to it; the last is known to every hypernetwork. Without parameters and
# without a near word a node is left out.
NEAREST: Mapping[str, tuple[str, ...]] = {
    "gn": ("ln",),
    "scale": ("ln",),
    "mul": ("cse",),
    "softmax": ("msa",),
    "embedding": ("pos_enc",),
    "parameter": ("pos_enc",),
    "recurrent": ("conv",),
}


def in_words_of(graph: ComputationGraph, primitives: Sequence[str]) -> ComputationGraph:
    """The reduced graph with nodes of ``primitives`` alone; what a left-out node read feeds what read it.

    Raises ValueError where a node holds parameters and has no word.

    >>> from torch import nn, zeros
    >>> from graphs import computation_graph
    >>> reduced = computation_graph(nn.Sequential(nn.Linear(2, 3), nn.Softmax(-1)), zeros(1, 2)).reduced()
    >>> [node.name for node in reduced.nodes]
    ['input', 'conv', 'bias', 'softmax', 'output']
    >>> [node.name for node in in_words_of(reduced, ["input", "conv", "bias", "msa"]).nodes]
    ['input', 'conv', 'bias', 'msa']
    """
    words = [_word(node, primitives) for node in graph.nodes]
    kept: list[OpNode] = []
    edges: dict[tuple[int, int], None] = {}
    ends: list[frozenset[int]] = []
    for node, word, before in zip(graph.nodes, words, graph.predecessors, strict=True):
        read = frozenset[int]().union(*(ends[p] for p in before))
        if not word:
            ends.append(read)
            continue
        edges.update(dict.fromkeys((end, len(kept)) for end in sorted(read)))
        ends.append(frozenset([len(kept)]))
        kept.append(replace(node, name=word))
    return ComputationGraph(tuple(kept), tuple(edges))


def _word(node: OpNode, primitives: Sequence[str]) -> str:
    """The known word nearest to a node's own, "" for none."""
    word = next((w for w in (node.name, *NEAREST.get(node.name, ())) if w in primitives), "")
    if node.parameters and not word:
        raise ValueError(
            f"expected a primitive among {', '.join(primitives)} for the node of {next(iter(node.parameters))}, "
            f"got {node.name!r}; reduce the computation graph first, as computation_graph(...).reduced()"
        )
    return word
