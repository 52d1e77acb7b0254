"""Attention and softmax over the edges on a GPU, in Triton.

The forward pass is that of flash attention (https://arxiv.org/abs/2205.14135) with keys and values made anew from the
states of the edges. Backward, each gradient is a sum that one program owns: of destinations and of the map with the
edges in the order of destinations, of sources in the order of sources, of the edges with all heads in one program.
Nothing is added atomically: results repeat bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphs.kernels.attending import gpu_kernels as kernels
from graphs.kernels.attending.operands import ATTENDED, Attended

# Each program that sums gradients of the map has a copy of them.
PROGRAMS_OF_MAP = 128


@dataclass(frozen=True)
class Shape:
    """What a kernel is compiled for.

    Args:
        A, C, H, D: channels of a node and of a head, heads, numbers of an edge. T: edges of a tile.
        precision: of matrix products, "ieee" or "tf32". double: whether sums are float64.
    """

    A: int
    C: int
    H: int
    D: int
    T: int = 32
    precision: str = "ieee"
    double: bool = False

    @classmethod
    def of(cls, t: Attended) -> Shape:
        precision = "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"
        shape = cls(
            t.q.shape[1], t.channels, t.heads, t.edge_width, precision=precision, double=t.q.dtype == torch.float64
        )
        # Wide rows leave room for few edges.
        return replace(shape, T=32 if max(shape.CP, shape.DP) * (1 + shape.double) <= 64 else 16)

    @property
    def CP(self) -> int:
        """C as the tensor cores want it, a power of two of at least 16."""
        return max(16, triton.next_power_of_2(self.C))

    @property
    def DP(self) -> int:
        return max(16, triton.next_power_of_2(self.D))

    @property
    def dtype(self) -> tl.dtype:
        return tl.float64 if self.double else tl.float32


def forward(t: Attended, rows: Tensor, col: Tensor | None, num_nodes: int, num_edges: int) -> list[Tensor]:
    """The output ``[N, A]`` and the log of the sum of the weights ``[N, H]``, ``-inf`` where there is no edge."""
    t, shape = _contiguous(t), Shape.of(t)
    out, lse = t.q.new_empty(num_nodes, shape.A), t.q.new_empty(num_nodes, t.heads)
    by_destination = _by_destination(rows, num_nodes)
    _launch(kernels.forward_kernel, num_nodes * t.heads, *t.tensors, *by_destination, col, out, lse, t.scale, S=shape)
    return [out, lse]


def backward(
    t: Attended,
    rows: Tensor,
    col: Tensor | None,
    num_nodes: int,
    num_edges: int,
    out: Tensor,
    lse: Tensor,
    grad: Tensor,
    needs: list[bool],
) -> list[Tensor]:
    """The gradients of the operands that ``needs`` marks, in order."""
    t, shape, grad = _contiguous(t), Shape.of(t), grad.contiguous()
    wanted = [name for name, need in zip(ATTENDED, needs, strict=True) if need]
    given = grad, lse.contiguous(), (grad * out).unflatten(1, (t.heads, -1)).sum(dim=2)
    by_destination = *_by_destination(rows, num_nodes), col
    found: dict[str, Tensor] = {}
    if {"q", "We", "bias"} & set(wanted):
        programs = max(1, min(num_nodes, PROGRAMS_OF_MAP))
        of_map = {"We": t.We, "bias": t.bias}
        partial = {n: x.new_empty(programs, *x.shape) for n, x in of_map.items() if n in wanted and x is not None}
        sums = torch.empty_like(t.q), partial.get("We"), partial.get("bias")
        launched = *t.tensors, *by_destination, *given, *sums, t.scale, num_nodes
        _launch(kernels.of_destinations, programs * t.heads, *launched, S=shape)
        found |= {"q": sums[0], **{n: x.sum(dim=0) for n, x in partial.items()}}
    if "e" in wanted and t.e is not None:
        found["e"] = torch.empty_like(t.e)
        _launch(kernels.of_edges, num_nodes, *t.tensors, *by_destination, *given, found["e"], t.scale, S=shape)
    if {"k", "v"} & set(wanted):
        found |= {"k": torch.empty_like(t.k), "v": torch.empty_like(t.v)}
        by_source = _by_source(rows, col, num_edges, t.k.shape[0])
        launched = *t.tensors, *by_source, *given, found["k"], found["v"], t.scale
        _launch(kernels.of_sources, t.k.shape[0] * t.heads, *launched, S=shape)
    return [found[name] for name in wanted]


def softmax(x: Tensor, rows: Tensor, num_nodes: int, grad: Tensor | None = None) -> Tensor:
    """The softmax of x ``[E, H]``; given ``grad``, the gradient of what x is the softmax of."""
    x, out = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
    start, first, _, count = _by_destination(rows, num_nodes)
    columns = x.shape[1]
    shape = Shape(columns, min(columns, 64), 1, 0, double=x.dtype == torch.float64)
    blocks = triton.cdiv(columns, shape.CP)
    grad = None if grad is None else grad.contiguous()
    _launch(kernels.softmax_kernel, (num_nodes, blocks), x, grad, start, first, count, out, S=shape)
    return out


def _contiguous(t: Attended) -> Attended:
    return replace(t, **{n: x.contiguous() for n, x in zip(ATTENDED, t.tensors, strict=True) if x is not None})


def _launch(kernel: Any, programs: int | tuple[int, int], *arguments: Any, S: Shape) -> None:
    grid = programs if isinstance(programs, tuple) else (programs, 1)
    if min(grid):
        kernel[grid](*arguments, S=S, num_warps=4, num_stages=1, enable_fp_fusion=True)


def _by_destination(rows: Tensor, num_nodes: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """First row of each destination ``[N + 1]``, and first edge, first source and count of the rows in that order."""
    rows = rows[rows[:, 2] > 0]
    node, order = torch.sort(rows[:, 3], stable=True)
    first, source, count, _ = rows[order].unbind(1)
    return _starts(node, num_nodes), first.contiguous(), source.contiguous(), count.contiguous()


def _by_source(rows: Tensor, col: Tensor | None, num_edges: int, sources: int) -> tuple[Tensor, Tensor, Tensor]:
    """First place of each source ``[sources + 1]``, and the edges and their destinations in that order ``[E]``."""
    row = torch.repeat_interleave(rows[:, 2], output_size=num_edges)
    first, source, _, target = rows[row].unbind(1)
    if col is None:
        col = source + torch.arange(num_edges, device=rows.device) - first
    source, edges = torch.sort(col, stable=True)
    return _starts(source, sources), edges, target[edges]


def _starts(sorted_nodes: Tensor, num_nodes: int) -> Tensor:
    return torch.searchsorted(sorted_nodes, torch.arange(num_nodes + 1, device=sorted_nodes.device))
