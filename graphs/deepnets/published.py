"""The graph of a recipe in the primitives of DeepNets-1M alone, as its files hold it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphs.deepnets.recipe_graph import recipe_graph
from graphs.op_graph import ComputationGraph, OpNode
from graphs.recipe import Recipe

Names = dict[str, tuple[int, ...]]

# In the order of published checkpoints.
PRIMITIVES = tuple(
    "max_pool avg_pool sep_conv dil_conv conv msa cse sum concat input bias bn ln pos_enc glob_avg".split()
)
NORMS = ("bn", "ln")


def published_graph(recipe: Recipe) -> ComputationGraph:
    """The recipe's graph as https://arxiv.org/abs/2110.13100 draws it.

    Attention is one node ``msa`` after its first layer, a gate one node ``cse`` without the mean in it, and there is no
    output. A node has its name, its parameters with their shapes, and a pooling its window.

    Args:
        recipe: of the family ``deepnet``.

    >>> from graphs.deepnets.predefined import predefined
    >>> [node.name for node in published_graph(predefined(C=16, n_cells=1)["vit"]).nodes][:7]
    ['input', 'conv', 'pos_enc', 'sum', 'ln', 'conv', 'msa']
    """
    graph = recipe_graph(recipe)
    names = [_name(graph, i) for i in range(graph.num_nodes)]
    ends: list[frozenset[int]] = []
    kept: list[tuple[str, Names]] = []
    edges: list[tuple[int, int]] = []
    for node, name, before in zip(graph.nodes, names, graph.predecessors, strict=True):
        read = frozenset().union(*(ends[p] for p in before))
        if name:
            edges += [(r, len(kept)) for r in sorted(read)]
            read = frozenset([len(kept)])
            kept.append((name, dict(node.parameters)))
        ends.append(read)
    return make_graph(kept, edges)


def make_graph(nodes: Iterable[tuple[str, Names]], edges: Sequence[tuple[int, int]]) -> ComputationGraph:
    """The graph of these primitives with their parameters."""
    reached = {consumer for _, consumer in edges}
    made = [_node(name, parameters, i in reached) for i, (name, parameters) in enumerate(nodes)]
    return ComputationGraph(tuple(made), tuple(edges))


def _node(name: str, parameters: Names, reads: bool) -> OpNode:
    kind = "input" if name == "input" else "op" if reads else "parameter"
    # Every pooling of the space has a window of three pixels a side, which the files do not tell.
    arguments = {"kernel_size": [3, 3]} if name.endswith("_pool") else {}
    return OpNode(kind, name, parameters=parameters, arguments=arguments)


def _name(graph: ComputationGraph, i: int) -> str:
    """The published name of a node, "" where there is no such node."""
    node = graph.nodes[i]
    if node.name == "matmul":
        return "msa" if any(graph.nodes[p].name == "softmax" for p in graph.predecessors[i]) else ""
    if node.name == "mul":
        return "cse"
    if node.name == "glob_avg" and node.module:
        return ""
    return node.name if node.name in PRIMITIVES else ""
