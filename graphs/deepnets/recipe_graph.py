"""The graph of primitives of a recipe of the space, without building or running the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphs.deepnets.layers import Place, Shape, Value
from graphs.deepnets.plan import Plan
from graphs.deepnets.walking import walk
from graphs.op_graph import ComputationGraph, OpNode
from graphs.primitives import Ends, PrimitiveBuilder
from graphs.recipe import Recipe

FAMILY = "deepnet"


def recipe_graph(recipe: Recipe, *, batch: int = 2, only_parameters: bool = False) -> ComputationGraph:
    """``graphs.computation_graph(recipe.build(), *recipe.example_input(batch)).reduced(only_parameters)``, more than
    fifty times as fast.

    Args:
        recipe: of the family ``deepnet``.
        batch: number of example inputs.
        only_parameters: leave out every primitive that holds no parameter.

    Raises ValueError for a recipe of another family, and for arguments that cannot be.

    >>> graph = recipe_graph(Recipe("deepnet", {"input_shape": [1, 8, 8], "n_cells": 1}))
    >>> [node.name for node in graph.nodes][:6]
    ['input', 'conv', 'bn', 'conv', 'bn', 'conv']
    """
    if recipe.factory != FAMILY:
        raise ValueError(
            f"expected a recipe of the family {FAMILY!r}, got {recipe.factory!r}; trace its module instead"
        )
    plan = Plan.of(recipe.arguments)
    listener = _Primitives(only_parameters)
    entry = OpNode("input", "0", shape=(batch, *plan.input_shape))
    out = walk(plan, listener, batch, listener.add(entry, frozenset(), 0, {}))
    listener.add(OpNode("output", "0", shape=out.shape), out.known[1], 1, {})
    return ComputationGraph(tuple(listener.build.nodes), tuple(listener.build.edges))


class _Primitives:
    """A listener that reduces as it hears. It knows a value by its number, which tells values of one tensor from
    others, and by the ends of its graph."""

    def __init__(self, only_parameters: bool) -> None:
        self.build = PrimitiveBuilder(only_parameters)
        self.values = 0

    def op(
        self,
        place: Place,
        name: str,
        shape: Shape,
        reads: Sequence[Value],
        parameters: Mapping[str, Shape],
        arguments: Mapping[str, Any],
    ) -> tuple[int, Ends]:
        node = OpNode("op", name, place.path, place.layer, place.call, shape, {}, arguments)
        ends = reads[0].known[1] if len(reads) == 1 else frozenset().union(*(r.known[1] for r in reads))
        return self.add(node, ends, len({r.known[0] for r in reads}), parameters)

    def passed(self, read: Value) -> tuple[int, Ends]:
        self.values += 1
        return self.values, read.known[1]

    def add(self, node: OpNode, ends: Ends, arrivals: int, parameters: Mapping[str, Shape]) -> tuple[int, Ends]:
        self.values += 1
        return self.values, self.build.add(node, "", ends, arrivals, parameters)
