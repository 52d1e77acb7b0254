"""Networks as graphs.

Shapes used throughout: B graphs (or a batch), N nodes, E edges, F features, K taps of a kernel, P flat weights,
R rows of a block table, T time.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

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
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'graphs' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return __all__
