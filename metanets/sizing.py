"""Keywords of a model that fit the networks it is to read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from graphs import KINDS, ParameterGraph, collate
from graphs.batching import GraphBatch
from metanets.pooling import output_nodes


def keywords_for(name: str, graphs: Sequence[ParameterGraph], **wanted: Any) -> dict[str, Any]:
    """Keywords with which ``create(name, ...)`` serves these networks; what is in ``wanted`` stands as it is.

    One network of each architecture is looked at. Models with an output layer get one output.

    >>> import torch, graphs
    >>> net = torch.nn.Linear(3, 2)
    >>> graph = graphs.trace(net, torch.zeros(1, 3)).bind(net.state_dict())
    >>> keywords_for("ng-gnn", [graph])["inputs"], keywords_for("gmn", [graph])
    (3, {'out': 1})
    """
    one_each = list({graph.topology.digest: graph for graph in graphs}.values())
    sizes = _SIZES.get(name, lambda _: {})(one_each)
    return ({} if name == "statnn" else {"out": 1}) | sizes | wanted


def _neural_graphs(graphs: Sequence[ParameterGraph]) -> dict[str, Any]:
    batch = collate(graphs)
    outputs = output_nodes(batch)
    ranked = {kind: batch.kind == KINDS.index(kind) for kind in ("input", "vocabulary", "pinned")}
    first = ranked["input"] & (batch.layer == 0)
    fixed = (batch.rank >= 0) & ~first & ~outputs & ~ranked["vocabulary"]
    deep = (batch.layer > 0) & ~outputs
    degree = batch.table.degree.double()
    return {
        "inputs": _count(batch, first),
        "outputs": _count(batch, outputs),
        "vocabulary": _count(batch, ranked["vocabulary"]),
        "pinned": _count(batch, fixed),
        "layers": max(1, int(batch.layer[deep].max()) if deep.any() else 1),
        **_taps(batch),
        "activations": True,
        "relations": any(edges.values.shape[1] == 0 for edges in batch.edge_sets),
        "log_degree": float((degree + 1).log().mean()) or math.log(2),
    }


def _taps(batch: GraphBatch) -> dict[str, Any]:
    kernels = [edges.taps for edges in batch.edge_sets if edges.tap_kind == "kernel"]
    flat = [edges.values.shape[1] for edges in batch.edge_sets if edges.tap_kind == "flat"]
    rank = max((len(taps) for taps in kernels), default=0)
    return {
        "kernel": [max(taps[axis] for taps in kernels if len(taps) > axis) for axis in range(rank)],
        "flat_taps": max(flat, default=0),
        "node_taps": max((nodes.values.shape[1] for nodes in batch.node_sets), default=1),
        "node_parameters": sorted({nodes.kind for nodes in batch.node_sets if nodes.kind != "bias"}),
        "graph_parameters": max((group.values.shape[1] for group in batch.graph_sets), default=0),
    }


def _count(batch: GraphBatch, nodes: Any) -> int:
    return int(batch.rank[nodes].max()) + 1 if nodes.any() else 0


def _flat_mlp(graphs: Sequence[ParameterGraph]) -> dict[str, Any]:
    return {"max_parameters": max(graph.topology.num_parameters for graph in graphs)}


_SIZES: dict[str, Callable[[Sequence[ParameterGraph]], dict[str, Any]]] = {
    "ng-gnn": _neural_graphs,
    "flat-mlp": _flat_mlp,
}
