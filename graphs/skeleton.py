"""What a batch needs of one topology, made once: node attributes, rows of edges, and which blocks give their values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from graphs.boxes import spread
from graphs.symmetries import site_entries
from graphs.topology import ACTIVATIONS, EDGE_KINDS, KINDS, PERMUTING, BoxAxis, ParameterBlock, Relation, Topology

Array = np.ndarray


@dataclass(frozen=True, order=True)
class SetKey:
    """What the members of an edge or node set share. ``tap_kind`` is none, kernel, flat or relation; ``kind`` is set
    for node and graph sets."""

    tap_kind: str
    taps: tuple[int, ...]
    kind: str = ""


@dataclass(frozen=True)
class EdgePart:
    """The edges of one topology in one set: table rows ``[R, 4]`` from edge and node 0, sources, kinds of rows."""

    rows: Array
    col: Array
    kind: Array
    blocks: tuple[ParameterBlock, ...]
    num_edges: int
    consecutive: bool


@dataclass(frozen=True)
class NodePart:
    index: Array
    blocks: tuple[ParameterBlock, ...]


@dataclass(frozen=True)
class Skeleton:
    """Per node ``[N]``: site, layer, kind, rank, activation, as in GraphBatch."""

    num_nodes: int
    site: Array
    layer: Array
    kind: Array
    rank: Array
    activation: Array
    edge_sets: dict[SetKey, EdgePart]
    node_sets: dict[SetKey, NodePart]
    graph_sets: dict[SetKey, NodePart]

    @property
    def consecutive(self) -> bool:
        """Whether every row reads consecutive sources, so that no index per edge is needed."""
        return all(part.consecutive for part in self.edge_sets.values())


@lru_cache(maxsize=4096)
def skeleton(topology: Topology) -> Skeleton:
    first = np.concatenate([[0], np.cumsum([s.size for s in topology.sites])]).astype(np.int64)
    sizes = [s.size for s in topology.sites]
    groups = np.concatenate([site_entries(topology, s)[0] for s in range(len(sizes))] or [np.zeros(0, dtype=np.int64)])
    kinds = np.array([KINDS.index(g.kind) for g in topology.groups], dtype=np.int64)
    free = np.array([g.kind in PERMUTING for g in topology.groups], dtype=bool)
    within = np.concatenate([np.arange(n) for n in sizes]) if sizes else np.zeros(0, dtype=np.int64)
    per_site = lambda values: np.repeat(np.array(values, dtype=np.int64), sizes)  # noqa: E731
    return Skeleton(
        num_nodes=int(first[-1]),
        site=per_site(range(len(sizes))),
        layer=per_site([s.layer for s in topology.sites]),
        kind=kinds[groups],
        rank=np.where(free[groups], -1, within),
        activation=per_site([ACTIVATIONS.index(s.activation) for s in topology.sites]),
        edge_sets=_edge_sets(topology, first),
        node_sets=_node_sets(topology, first),
        graph_sets=_graph_sets(topology),
    )


def _edge_sets(topology: Topology, first: Array) -> dict[SetKey, EdgePart]:
    members: dict[SetKey, list[ParameterBlock | Relation]] = {}
    for block in topology.blocks:
        if block.source is not None:
            members.setdefault(_key(block), []).append(block)
    for relation in topology.relations:
        members.setdefault(SetKey("relation", ()), []).append(relation)
    return {key: _edge_part(boxes, first) for key, boxes in members.items()}


def _key(block: ParameterBlock, kind: str = "") -> SetKey:
    return SetKey("none" if not block.taps else "flat" if block.flat else "kernel", block.taps, kind)


def _edge_part(boxes: list[ParameterBlock | Relation], first: Array) -> EdgePart:
    rows, cols, kinds, edge, consecutive = [], [], [], 0, True
    for box in boxes:
        assert box.source is not None
        assert box.target is not None
        target, source, col = _edges(box)
        count = col.shape[1]
        part = np.empty((len(target), 4), dtype=np.int64)
        part[:, 0] = edge + np.arange(len(target)) * count
        part[:, 1] = source + first[box.source]
        part[:, 2] = count
        part[:, 3] = target + first[box.target]
        rows.append(part)
        cols.append((col + first[box.source]).reshape(-1))
        kinds.append(np.full(len(target), EDGE_KINDS.index(box.kind)))
        consecutive &= bool((np.diff(col, axis=1) == 1).all())
        edge += len(target) * count
    blocks = tuple(b for b in boxes if isinstance(b, ParameterBlock))
    return EdgePart(np.concatenate(rows), np.concatenate(cols), np.concatenate(kinds), blocks, edge, consecutive)


def _edges(box: ParameterBlock | Relation) -> tuple[Array, Array, Array]:
    """Target and first source of every row ``[R]``, and the sources of its edges ``[R, count]``."""
    outer = [a for a in box.axes if a.target != 0]
    inner = [a for a in box.axes if a.target == 0 and a.source != 0]
    target = spread(box.first_target, [(a.size, a.target) for a in outer]).reshape(-1)
    start = spread(box.first_source, [(a.size, a.source) for a in outer]).reshape(-1)
    col = start[:, None] + spread(0, [(a.size, a.source) for a in inner]).reshape(1, -1)
    return target, start, col


def _node_sets(topology: Topology, first: Array) -> dict[SetKey, NodePart]:
    members: dict[SetKey, list[ParameterBlock]] = {}
    for block in topology.blocks:
        if block.source is None and block.target is not None:
            members.setdefault(_key(block, block.kind), []).append(block)
    return {
        key: NodePart(np.concatenate([_nodes(b) + first[b.target] for b in blocks]), tuple(blocks))
        for key, blocks in members.items()
    }


def _nodes(block: ParameterBlock) -> Array:
    axes: list[BoxAxis] = [a for a in block.axes if not a.is_tap]
    return spread(block.first_target, [(a.size, a.target) for a in axes]).reshape(-1)


def _graph_sets(topology: Topology) -> dict[SetKey, NodePart]:
    members: dict[SetKey, list[ParameterBlock]] = {}
    for block in topology.blocks:
        if block.target is None and block.source is None:
            members.setdefault(_key(block, block.kind), []).append(block)
    return {key: NodePart(np.zeros(len(blocks), dtype=np.int64), tuple(blocks)) for key, blocks in members.items()}
