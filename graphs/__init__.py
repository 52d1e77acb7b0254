"""Networks as graphs.

Shapes used throughout: B graphs (or a batch), N nodes, E edges, F features, K taps of a kernel, P flat weights,
R rows of a block table, T time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphs.batching import GraphBatch, collate
    from graphs.kernels import BlockTable
    from graphs.layout import Layout, flat_layout
    from graphs.parameter_graph import ParameterGraph
    from graphs.recipe import Recipe
    from graphs.symmetries import Certificate, Symmetry, certify
    from graphs.topology import (
        ACTIVATIONS,
        EDGE_KINDS,
        KINDS,
        NODE_KINDS,
        NeuronGroup,
        ParameterBlock,
        Relation,
        Site,
        Topology,
    )
    from graphs.tracing import UntraceableError, trace

__all__ = [
    "ACTIVATIONS",
    "BlockTable",
    "Certificate",
    "EDGE_KINDS",
    "GraphBatch",
    "KINDS",
    "Layout",
    "NODE_KINDS",
    "NeuronGroup",
    "ParameterBlock",
    "ParameterGraph",
    "Recipe",
    "Relation",
    "Site",
    "Symmetry",
    "Topology",
    "UntraceableError",
    "certify",
    "collate",
    "flat_layout",
    "trace",
]

# Public name -> submodule; imported on first use.
_EXPORTS = {
    "ACTIVATIONS": "graphs.topology",
    "BlockTable": "graphs.kernels",
    "Certificate": "graphs.symmetries",
    "EDGE_KINDS": "graphs.topology",
    "GraphBatch": "graphs.batching",
    "KINDS": "graphs.topology",
    "Layout": "graphs.layout",
    "NODE_KINDS": "graphs.topology",
    "NeuronGroup": "graphs.topology",
    "ParameterBlock": "graphs.topology",
    "ParameterGraph": "graphs.parameter_graph",
    "Recipe": "graphs.recipe",
    "Relation": "graphs.topology",
    "Site": "graphs.topology",
    "Symmetry": "graphs.symmetries",
    "Topology": "graphs.topology",
    "UntraceableError": "graphs.tracing",
    "certify": "graphs.symmetries",
    "collate": "graphs.batching",
    "flat_layout": "graphs.layout",
    "trace": "graphs.tracing",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'graphs' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
