"""PyG form of a parameter graph: HeteroData with one edge type a kernel shape."""

from __future__ import annotations

import torch
from torch_geometric.data import HeteroData

from graphs.batching import collate
from graphs.parameter_graph import ParameterGraph
from graphs.topology import Topology

NODE = "neuron"


def to_data(graph: ParameterGraph) -> HeteroData:
    """Nodes are neurons; every edge set is an edge type whose edge_attr are its weights ``[E, K]``.

    Parameters at nodes are ``data["neuron"][kind + taps]`` with the nodes they belong to; what is no weight of the
    graph (counters, unused parameters) rides along in ``data["rest"]``.
    """
    batch, data = collate([graph]), HeteroData()
    node = data[NODE]
    node.num_nodes = batch.num_nodes
    for name in ("site", "layer", "kind", "rank", "activation"):
        node[name] = getattr(batch, name)
    index = torch.stack([batch.table.source(), batch.table.target()])
    for part in batch.edge_sets:
        edges = data[NODE, _label(part.tap_kind, part.taps), NODE]
        edges.edge_index = index[:, part.first : part.first + part.count]
        edges.edge_attr = part.values
        edges.edge_kind = batch.edge_kind[part.first : part.first + part.count]
    for part in batch.node_sets:
        name = _label(part.kind, part.taps)
        node[f"{name}_value"], node[f"{name}_index"] = part.values, part.index
    data["rest"].flat = graph.flat()
    data["rest"].other = graph.other
    return data


def from_data(data: HeteroData, topology: Topology) -> ParameterGraph:
    """The graph of :func:`to_data`, bit for bit, with whatever was changed in its weights."""
    template = ParameterGraph(topology, data["rest"].flat, data["rest"].other)
    batch = collate([template])
    node = data[NODE]
    edges = [
        data[NODE, _label(p.tap_kind, p.taps), NODE].edge_attr for p in batch.edge_sets if p.tap_kind != "relation"
    ]
    nodes = [node[f"{_label(p.kind, p.taps)}_value"] for p in batch.node_sets]
    (state,) = batch.to_state_dicts(edges, nodes)
    return topology.bind(state)


def _label(kind: str, taps: tuple[int, ...]) -> str:
    return "_".join([kind, "x".join(map(str, taps))]) if taps else kind
