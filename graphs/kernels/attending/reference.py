"""Attention and softmax over the edges in plain torch: short, on any device, differentiable twice; the ground truth."""

from __future__ import annotations

import torch
from torch import Tensor

from graphs.kernels.attending.operands import Attended
from graphs.kernels.table import BlockTable


def segment_softmax(src: Tensor, table: BlockTable) -> Tensor:
    """``exp(src)`` over its sum along the edges into the same destination, ``[E, H]``; sums in float32 or float64."""
    target = table.target()
    x = src.to(torch.float64 if src.dtype == torch.float64 else torch.float32)
    least = x.new_full((table.num_nodes, x.shape[1]), -torch.inf)
    largest = least.scatter_reduce(0, target[:, None].expand_as(x), x.detach(), "amax")
    weight = (x - largest.index_select(0, target)).exp()
    total = weight.new_zeros(least.shape).index_add(0, target, weight)
    return (weight / total.index_select(0, target)).to(src.dtype)


def attention(t: Attended, table: BlockTable) -> Tensor:
    """The equations of :func:`graphs.kernels.attention`, an edge tensor a term; all but e in the dtype of sums."""
    source, target = table.source(), table.target()
    query, key, value = t.q.index_select(0, target), t.k.index_select(0, source), t.v.index_select(0, source)
    if t.e is not None and t.We is not None:
        mapped = t.e.to(t.q.dtype) @ t.We
        q_e, k_e, m_e, v_e = (mapped if t.bias is None else mapped + t.bias).chunk(4, dim=1)
        query, key, value = query + q_e, key + k_e, value * m_e + v_e
    scores = (query * key).unflatten(1, (t.heads, -1)).sum(dim=2) * t.scale
    weighted = segment_softmax(scores, table)[:, :, None] * value.unflatten(1, (t.heads, -1))
    return torch.zeros_like(t.q).index_add(0, target, weighted.flatten(1))
