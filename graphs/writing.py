"""Edits written back: new edge and node values of a batch become state_dicts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphs.boxes import spread
from graphs.parameter_graph import ParameterGraph
from graphs.topology import ParameterBlock

if TYPE_CHECKING:
    from graphs.batching import EdgeSet, GraphBatch, NodeSet


def write_back(batch: GraphBatch, edge: Sequence[Tensor], node: Sequence[Tensor]) -> list[dict[str, Tensor]]:
    """State_dicts of the batch's networks with these values; see GraphBatch.to_state_dicts."""
    weighted = [s for s in batch.edge_sets if s.tap_kind != "relation"]
    _check("edge", edge, weighted)
    parts = list(zip(batch.edge_blocks, edge, strict=True))
    if len(node):
        _check("node", node, batch.node_sets)
        parts += list(zip(batch.node_blocks, node, strict=True))
    writes: list[list[tuple[Tensor, Tensor]]] = [[] for _ in batch.graphs]
    for blocks, values in parts:
        first = 0
        for graph, block in blocks:
            writes[graph].append((_offsets(block), values[first : first + block.num_edges].reshape(-1)))
            first += block.num_edges
    return [_written(graph, rows) for graph, rows in zip(batch.graphs, writes, strict=True)]


def _written(graph: ParameterGraph, rows: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """The weights with ``(offsets, values)`` written. An element takes the value that its uses agree on, bit for bit;
    where they differ (a reused parameter) the mean, as its old value plus the mean change."""
    flat = graph.flat()
    offsets = torch.cat([o for o, _ in rows]).to(flat.device) if rows else torch.zeros(0, dtype=torch.int64)
    values = torch.cat([v.to(flat.dtype) for _, v in rows]) if rows else flat[:0]
    count = torch.zeros(len(flat), dtype=flat.dtype, device=flat.device).index_add_(0, offsets, torch.ones_like(values))
    once = flat.index_put((offsets,), values)
    change = torch.zeros_like(flat).index_add(0, offsets, values - flat[offsets])
    several = count > 1
    if not values.requires_grad:
        # A sum loses minus zero and infinity; a gradient has to reach every use.
        differing = _bits(values) != _bits(once[offsets])
        several = torch.zeros_like(several).index_put_((offsets[differing],), several.new_ones(()))
    new = torch.where(several, flat + change / count.clamp(min=1), once)
    return graph.topology.layout.unflatten(new, graph.other)


def _bits(values: Tensor) -> Tensor:
    """The values as whole numbers, among which every NaN equals itself."""
    return values.contiguous().view({2: torch.int16, 4: torch.int32, 8: torch.int64}[values.element_size()])


def _check(name: str, values: Sequence[Tensor], sets: Sequence[EdgeSet] | Sequence[NodeSet]) -> None:
    expected, arrived = [tuple(s.values.shape) for s in sets], [tuple(v.shape) for v in values]
    if expected != arrived:
        raise ValueError(f"expected {name} values of shapes {expected}, got {arrived}; give one tensor a set, in order")


@lru_cache(maxsize=65536)
def _offsets(block: ParameterBlock) -> Tensor:
    """Element of P of every value of a block, in the order of its axes."""
    return torch.from_numpy(spread(block.offset, [(a.size, a.stride) for a in block.axes]).reshape(-1))
