"""From a network to the Architecture that a graph hypernetwork reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from graphs.op_graph import ComputationGraph, OpNode, computation_graph
from hypernets.ghn.architecture import PRIMITIVES, Architecture
from hypernets.ghn.heads import as_head, head_nodes
from hypernets.ghn.own_rule import OwnRule, own_rules
from hypernets.ghn.roles import targets_at
from hypernets.ghn.target import Size4, Target
from hypernets.ghn.vocabulary import in_words_of


def describe(
    module: nn.Module,
    *inputs: Any,
    primitives: Sequence[str] = PRIMITIVES,
    **kwargs: Any,
) -> Architecture:
    """The Architecture of any module, traced in one forward pass; it is not changed, and may be on the meta device.

    Args:
        module: any network. Its present values say at which scale tables, embeddings and layer scales are written.
        inputs, kwargs: example inputs.
        primitives: the words that the hypernetwork knows.

    Raises UntraceableError (a ValueError) when the forward pass fails or the module holds what is no tensor.

    >>> architecture = describe(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), torch.zeros(1, 4))
    >>> [(t.name, t.node, t.decoder) for t in architecture.targets][2:]
    [('2.weight', 3, 'classifier'), ('2.bias', 4, 'classifier_bias')]
    """
    graph = computation_graph(module, *inputs, **kwargs).reduced()
    found = describe_graph(graph, primitives=primitives, own=own_rules(module))
    parameters = dict(module.named_parameters())
    targets = tuple(t for t in found.targets if _unwritable(parameters[t.name]) is None)
    written = {t.name for t in targets}
    return replace(
        found, targets=targets, own=tuple((n, _reason(p)) for n, p in parameters.items() if n not in written)
    )


def describe_graph(
    graph: ComputationGraph,
    *,
    primitives: Sequence[str] = PRIMITIVES,
    own: Mapping[str, OwnRule] | None = None,
) -> Architecture:
    """The Architecture of a reduced computation graph, without tracing.

    Args:
        graph: of ``computation_graph(...).reduced()``, or that of a sampled recipe.
        primitives: see :func:`describe`.
        own: the rules by which the module initialises its parameters; the usual ones where absent.

    Raises ValueError for a graph that is not reduced.
    """
    worded = in_words_of(graph, primitives)
    numbers = [i for i, node in enumerate(worded.nodes) if node.parameters]
    heads = head_nodes(graph)
    targets: dict[str, Target] = {}
    for number, at in zip(numbers, (i for i, node in enumerate(graph.nodes) if node.parameters), strict=True):
        for target in targets_at(graph.nodes[at], number, own or {}):
            # Where a layer is used again or tied, its first use speaks of it.
            targets.setdefault(target.name, as_head(target) if at in heads else target)
    return Architecture(
        primitive=torch.tensor([primitives.index(node.name) for node in worded.nodes], dtype=torch.int64),
        shape=_shapes(worded, targets),
        distance=worded.shortest_paths(),
        targets=tuple(targets.values()),
    )


def _shapes(graph: ComputationGraph, targets: Mapping[str, Target]) -> Tensor:
    """``[N, 4]``: of a node with parameters those of its first, of a pool its kernel."""
    shape = torch.zeros(graph.num_nodes, 4, dtype=torch.int64)
    for i, node in enumerate(graph.nodes):
        first = next((targets[name].canonical for name in node.parameters if name in targets), None)
        shape[i] = torch.tensor(first or _kernel(node))
    return shape


def _kernel(node: OpNode) -> Size4:
    """``(1, 1, height, width)`` of a pool; 3 x 3 where it adapts, as in the published graphs."""
    if node.name not in ("max_pool", "avg_pool"):
        return (0, 0, 0, 0)
    sizes = node.arguments.get("kernel_size") or [3]
    return (1, 1, sizes[0], sizes[-1])


def _reason(parameter: Tensor) -> str:
    """Why the module's own rule has to initialise a parameter."""
    return _unwritable(parameter) or "the forward pass on the example inputs does not read it"


def _unwritable(parameter: Tensor) -> str | None:
    if not parameter.is_floating_point():
        return f"it is {str(parameter.dtype).removeprefix('torch.')}; only floating parameters are written"
    return None if parameter.numel() else "it is empty"
