"""A GraphBatch on another device, or with weights of another dtype."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from graphs.batching import GraphBatch


def moved(batch: GraphBatch, target: torch.device | str | torch.dtype) -> GraphBatch:
    """A copy whose weights (for a dtype), or weights and structure (for a device), are the target's."""
    other = copy.copy(batch)
    cached = {"batch", "site", "layer", "kind", "rank", "activation", "edge_kind", "edge_batch", "_reversed"}
    other.__dict__ = {name: value for name, value in batch.__dict__.items() if name not in cached}
    other.edge_sets = tuple(replace(s, values=s.values.to(target)) for s in batch.edge_sets)
    for name in ("node_sets", "graph_sets"):
        sets = getattr(batch, name)
        if isinstance(target, torch.dtype):
            moved_sets = tuple(replace(s, values=s.values.to(target)) for s in sets)
        else:
            moved_sets = tuple(replace(s, values=s.values.to(target), index=s.index.to(target)) for s in sets)
        setattr(other, name, moved_sets)
    if not isinstance(target, torch.dtype):
        other.ptr, other._row_kind = batch.ptr.to(target), batch._row_kind.to(target)
        other.table = batch.table.to(target)
    return other
