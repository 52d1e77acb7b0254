"""The gated pass with its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphs.kernels.backends import backend
from graphs.kernels.gated import cpu
from graphs.kernels.gated.cpu import Gated


def serves(x: Tensor) -> bool:
    """Whether there is a kernel for the device and type of the nodes."""
    return x.device.type == "cpu" and x.dtype in cpu.NAMES and backend(x.device, "gated") == "cpu"


def gated_pass(t: Gated, distances: Sequence[Tensor], last_first: bool) -> Tensor:
    """States of nodes that hear of those before them, ``[N, H]``; one after the other, in C++.

    ``h_v = GRU(m_v, x_v)``, where m_v sums a message of each node that reaches v: those of the first kind along edges,
    those of the second along every path, by 1 / its length. Messages are two layers with relu of h
    (https://arxiv.org/abs/2110.13100, equations 3 and 4).

    Args:
        t: the operands, of one kind of messages or of two.
        distances: ``[n, n]`` int64 of each graph, lengths of shortest paths between nodes in topological order, 0 where
            there is none; the nodes of x are those of the graphs one after the other.
        last_first: whether messages go against the edges.
    """
    return _GatedPass.apply(tuple(distances), last_first, *t)  # pyright: ignore[reportReturnType]


class _GatedPass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, distances: tuple[Tensor, ...], last_first: bool, *tensors: Tensor) -> Tensor:
        t = Gated(*(x.contiguous() for x in tensors))
        kept = cpu.forward(t, distances, last_first)
        ctx.distances, ctx.last_first, ctx.names = distances, last_first, list(kept)
        ctx.save_for_backward(*t, *kept.values())
        return kept["h"]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        saved, count = ctx.saved_tensors, len(Gated._fields)
        t, kept = Gated(*saved[:count]), dict(zip(ctx.names, saved[count:], strict=True))
        d = cpu.backward(t, ctx.distances, ctx.last_first, kept, grads[0])
        by_kind = [x.unflatten(1, (len(t.second), -1)).transpose(0, 1) for x in (d["d_message"], kept["a"])]
        of_maps = Gated(
            x=d["d_x"],
            hidden=d["d_hidden"],
            input_weight=d["d_input"].T @ kept["received"],
            input_bias=d["d_input"].sum(0),
            first=d["d_a"].T @ kept["h"],
            first_bias=d["d_a"].sum(0),
            second=by_kind[0].mT @ by_kind[1],
            second_bias=by_kind[0].sum(1),
        )
        return None, None, *of_maps
