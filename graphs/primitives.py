"""Reduce a computation graph to the primitives of graph hypernetworks.

After GHN-2 (https://arxiv.org/abs/2110.13100): a layer is a node of its weight and then one of its bias, a norm is one
node, sums, concatenations, pooling and means are nodes, the rest disappears. Beyond it, every parameter that the pass
reads is held by a node: weights that are functions of parameters by the node of their use, a parameter that meets
activations by itself (a table of positions) by a source node, those of a recurrent layer by a chain of nodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from graphs.op_graph import ComputationGraph, OpNode

Shapes = Mapping[str, tuple[int, ...]]
Ends = frozenset[int]

CONTRACTIONS = frozenset(
    "mm addmm bmm baddbmm mv addmv dot convolution _trilinear _cdist_forward _grouped_mm embedding".split()
)
NORMS = {
    "native_batch_norm": "bn",
    "_native_batch_norm_legit": "bn",
    "_native_batch_norm_legit_no_training": "bn",
    "cudnn_batch_norm": "bn",
    "native_layer_norm": "ln",
    "native_group_norm": "gn",
    "_fused_rms_norm": "ln",
}
# Nodes without parameters: some where several values meet, others always.
MEETINGS = {"add": "sum", "sub": "sum", "cat": "concat", "stack": "concat", "mul": "mul", "div": "mul", "bmm": "matmul"}
POOLS = {
    "max_pool2d_with_indices": "max_pool",
    "avg_pool2d": "avg_pool",
    "_adaptive_avg_pool2d": "avg_pool",
    "mean": "glob_avg",
    "_softmax": "softmax",
    "_safe_softmax": "softmax",
}
RECURRENT = frozenset("RNN LSTM GRU RNNCell LSTMCell GRUCell".split())
_STATISTICS = frozenset("mean var var_mean sum linalg_vector_norm".split())
_DIVISIONS = frozenset("rsqrt sqrt div reciprocal".split())


def reduce(graph: ComputationGraph, only_parameters: bool) -> ComputationGraph:
    """See :meth:`graphs.op_graph.ComputationGraph.reduced`."""
    held = _held(graph)
    layers = _layers(graph, held)
    build = PrimitiveBuilder(only_parameters)
    ends: dict[int, Ends] = {}
    for i, node in enumerate(graph.nodes):
        if i in ends or (i in held and node.kind != "output"):
            continue
        members, primitive = layers.get(i, ([i], ""))
        before = {p for m in members for p in graph.predecessors[m]} - set(members)
        read = frozenset().union(*(ends[p] for p in before if p in ends))
        parameters = {name: s for p in sorted(before) if p in held for name, s in held[p].items()}
        arrivals = sum(p in ends for p in before)
        ends.update(dict.fromkeys(members, build.add(node, primitive, read, arrivals, parameters)))
    return ComputationGraph(tuple(build.nodes), tuple(build.edges))


def _held(graph: ComputationGraph) -> dict[int, Shapes]:
    """The parameters behind each value that depends on no input."""
    held: dict[int, Shapes] = {}
    for i, node in enumerate(graph.nodes):
        before = graph.predecessors[i]
        if node.kind in ("parameter", "buffer"):
            held[i] = {node.name: node.shape} if node.kind == "parameter" else {}
        elif node.kind != "input" and all(p in held for p in before):
            held[i] = {name: shape for p in before for name, shape in held[p].items()}
    return held


def _layers(graph: ComputationGraph, held: Mapping[int, Shapes]) -> dict[int, tuple[list[int], str]]:
    """Runs of modules that are one primitive: the first op -> its ops and the primitive."""
    calls: dict[int, list[int]] = {}
    active = [i for i, node in enumerate(graph.nodes) if node.kind == "op" and i not in held]
    for i in active:
        calls.setdefault(graph.nodes[i].call, []).append(i)
    place = {i: n for n, i in enumerate(active)}
    found = {}
    for members in calls.values():
        together = place[members[-1]] - place[members[0]] == len(members) - 1
        reads = any(held.get(p) for m in members for p in graph.predecessors[m])
        primitive = _layer(graph.nodes[members[0]].layer, {graph.nodes[m].name for m in members})
        if primitive and together and reads:
            found[members[0]] = (members, primitive)
    return found


def _layer(layer: str, names: set[str]) -> str:
    """The primitive of a whole module by the ops of one run: recurrent, a norm, or none ("")."""
    if layer in RECURRENT:
        return "recurrent"
    norms = [NORMS[name] for name in names if name in NORMS]
    is_norm = norms or (names & _STATISTICS and names & _DIVISIONS)
    return (*norms, "ln")[0] if is_norm and not names & CONTRACTIONS else ""


class PrimitiveBuilder:
    """The new graph, as it grows."""

    def __init__(self, only_parameters: bool) -> None:
        self.only_parameters = only_parameters
        self.nodes: list[OpNode] = []
        self.edges: dict[tuple[int, int], None] = {}

    def add(self, node: OpNode, primitive: str, read: Ends, arrivals: int, parameters: Shapes) -> Ends:
        """The ends of a value, after the nodes that it becomes.

        Args:
            node: the op that made it. primitive: what it is, if a whole layer.
            read: ends of what it reads. arrivals: of how many values. parameters: those it reads beside them.
        """
        if node.kind != "op":
            return self._emit(node, node.kind, self._with_source(node, "parameter", read, parameters))
        if primitive == "recurrent":
            return self._chain(
                node, [("bias" if len(s) == 1 else primitive, {n: s}) for n, s in parameters.items()], read
            )
        primitive = primitive or NORMS.get(node.name, "")
        if primitive:
            return self._chain(node, [(primitive, parameters)], read)
        if node.name in CONTRACTIONS and parameters:
            return self._weighted(node, read, parameters)
        joined = MEETINGS.get(node.name, "")
        if parameters and joined != "concat" and all(max(s, default=1) == math.prod(s) for s in parameters.values()):
            return self._chain(node, [("bias" if joined == "sum" else "scale", parameters)], read)
        source = "pos_enc" if joined in ("sum", "concat") else "parameter"
        read = self._with_source(node, source, read, parameters)
        primitive = joined if arrivals + bool(parameters) > 1 else POOLS.get(node.name, "")
        return self._chain(node, [(primitive, {})], read) if primitive else read

    def _weighted(self, node: OpNode, read: Ends, parameters: Shapes) -> Ends:
        """A layer: its weights, then the vector that is added."""
        biases = {n: s for n, s in parameters.items() if len(s) == 1 and node.name in ("addmm", "convolution", "addmv")}
        weights = {n: s for n, s in parameters.items() if n not in biases}
        return self._chain(node, [(_kind(node, weights), weights), ("bias", biases)], read)

    def _with_source(self, node: OpNode, primitive: str, read: Ends, parameters: Shapes) -> Ends:
        return read | self._emit(node, primitive, frozenset(), parameters) if parameters else read

    def _chain(self, node: OpNode, links: Iterable[tuple[str, Shapes]], read: Ends) -> Ends:
        """One node after the other; those without parameters only where they are wanted."""
        for primitive, parameters in links:
            wanted = primitive != "bias" and not self.only_parameters
            if parameters or wanted:
                read = self._emit(node, primitive, read, parameters)
        return read

    def _emit(self, node: OpNode, primitive: str, read: Ends, parameters: Shapes | None = None) -> Ends:
        number = len(self.nodes)
        kind = "parameter" if parameters and not read and node.kind != "input" else node.kind
        self.nodes.append(replace(node, kind=kind, name=primitive, parameters=dict(parameters or {})))
        self.edges.update(dict.fromkeys((r, number) for r in sorted(read)))
        return frozenset([number])


def _kind(node: OpNode, weights: Shapes) -> str:
    """conv for every weighted sum, but for convolutions of single channels and tables."""
    if node.name == "embedding":
        return "embedding"
    if node.name != "convolution" or node.arguments["groups"] == 1 or any(s[1] > 1 for s in weights.values()):
        return "conv"
    return "dil_conv" if max(node.arguments["dilation"]) > 1 else "sep_conv"
