"""Networks as graphs.

A module is run once (`tracing`) while `labelling` and `rules` follow every element; `assembling` makes a `Topology` of
it. With weights it is a `ParameterGraph`, many are a `GraphBatch`. `certifying` proves a conversion, `symmetries` and
`scaling` move weights without changing the function, `aligning` brings two networks together, `drawing` shows one.

Shapes used throughout: B graphs (or a batch), N nodes, E edges, F features, K taps of a kernel, P flat weights,
R rows of a block table, T time.
"""

from typing import TYPE_CHECKING

from graphs.lazy import lazy_exports

if TYPE_CHECKING:
    from graphs.aligning.alignment import align, barrier, interpolate
    from graphs.batching import GraphBatch, collate
    from graphs.certifying.certificate import Certificate
    from graphs.certifying.procedure import certify
    from graphs.deepnets.recipe_graph import recipe_graph
    from graphs.drawing.picture import draw
    from graphs.errors import UntraceableError
    from graphs.kernels import BlockTable
    from graphs.layout import Layout, flat_layout
    from graphs.op_graph import ComputationGraph, OpNode, computation_graph
    from graphs.parameter_graph import ParameterGraph
    from graphs.recipe import Recipe
    from graphs.sampler import sample_architecture
    from graphs.scaling.scales import Scale, Slice
    from graphs.scaling.search import find_scales, with_scales
    from graphs.symmetries import Symmetry
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
    from graphs.tracing import trace

__all__ = [
    "ACTIVATIONS",
    "BlockTable",
    "Certificate",
    "ComputationGraph",
    "EDGE_KINDS",
    "GraphBatch",
    "KINDS",
    "Layout",
    "NODE_KINDS",
    "NeuronGroup",
    "OpNode",
    "ParameterBlock",
    "ParameterGraph",
    "Recipe",
    "Relation",
    "Scale",
    "Site",
    "Slice",
    "Symmetry",
    "Topology",
    "UntraceableError",
    "align",
    "barrier",
    "certify",
    "collate",
    "computation_graph",
    "draw",
    "find_scales",
    "flat_layout",
    "interpolate",
    "recipe_graph",
    "sample_architecture",
    "trace",
    "with_scales",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ACTIVATIONS": "topology",
        "BlockTable": "kernels",
        "Certificate": "certifying.certificate",
        "ComputationGraph": "op_graph",
        "EDGE_KINDS": "topology",
        "GraphBatch": "batching",
        "KINDS": "topology",
        "Layout": "layout",
        "NODE_KINDS": "topology",
        "NeuronGroup": "topology",
        "OpNode": "op_graph",
        "ParameterBlock": "topology",
        "ParameterGraph": "parameter_graph",
        "Recipe": "recipe",
        "Relation": "topology",
        "Scale": "scaling.scales",
        "Site": "topology",
        "Slice": "scaling.scales",
        "Symmetry": "symmetries",
        "Topology": "topology",
        "UntraceableError": "errors",
        "align": "aligning.alignment",
        "barrier": "aligning.alignment",
        "certify": "certifying.procedure",
        "collate": "batching",
        "computation_graph": "op_graph",
        "draw": "drawing.picture",
        "find_scales": "scaling.search",
        "flat_layout": "layout",
        "interpolate": "aligning.alignment",
        "recipe_graph": "deepnets.recipe_graph",
        "sample_architecture": "sampler",
        "trace": "tracing",
        "with_scales": "scaling.search",
    },
)
