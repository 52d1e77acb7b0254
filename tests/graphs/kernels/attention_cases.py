"""Operands of attention over the edges, and its comparison with the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphs.kernels import BlockTable, attention
from graphs.kernels.attending import reference as reference_attention
from graphs.kernels.attending.operands import ATTENDED as NAMES
from graphs.kernels.attending.operands import Attended

Operands = dict[str, Any]


def operands(
    on: BlockTable,
    *,
    edges: int = 5,
    width: int = 24,
    dtype: torch.dtype = torch.float64,
    without: Sequence[str] = (),
    seed: int = 0,
) -> Operands:
    """Random operands with ``edges`` numbers an edge and ``width`` channels a node."""
    generator = torch.Generator().manual_seed(seed)
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    N, E = on.num_nodes, on.num_edges
    shapes = {"q": (N, width), "k": (on.sources, width), "v": (on.sources, width), "e": (E, edges)}
    shapes |= {"We": (edges, 4 * width), "bias": (4 * width,)}
    drawn = {n: torch.randn(s, generator=generator, dtype=torch.float64) for n, s in shapes.items()}
    drawn["We"] /= edges**0.5
    return {n: None if n in without else x.to(dtype if n == "e" else compute) for n, x in drawn.items()}


def kernel(t: Operands, on: BlockTable, heads: int) -> Tensor:
    return attention(*(t[n] for n in NAMES[:5]), on, bias=t["bias"], heads=heads)


def plain(t: Operands, on: BlockTable, heads: int) -> Tensor:
    return reference_attention.attention(Attended(*(t[n] for n in NAMES), heads, t["q"].shape[1] ** -0.5), on)


def output_and_gradients(
    run: Callable[[Operands, BlockTable, int], Tensor], t: Operands, on: BlockTable, heads: int
) -> dict[str, Tensor]:
    """What ``run`` gives, and the gradient of a random sum of it to each operand."""
    leaves = {n: None if x is None else x.detach().clone().requires_grad_() for n, x in t.items()}
    out = run(leaves, on, heads)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(out.dtype)
    given = {n: x for n, x in leaves.items() if x is not None}
    gradients = torch.autograd.grad(out, list(given.values()), weight)
    return {"out": out.detach(), **{f"d {n}": g for n, g in zip(given, gradients, strict=True)}}


def assert_same(t: Operands, on: BlockTable, heads: int, tolerance: float) -> None:
    """The kernel agrees with the reference to ``tolerance`` of the largest value of each tensor."""
    arrived, expected = (output_and_gradients(run, t, on, heads) for run in (kernel, plain))
    for name, value in expected.items():
        assert arrived[name].dtype == value.dtype, name
        assert arrived[name].shape == value.shape, name
        if value.numel():
            scale = max(1.0, float(value.abs().max()))
            difference = float((arrived[name].double() - value.double()).abs().max())
            assert difference <= tolerance * scale, f"{name}: off by {difference:.3g}, largest value {scale:.3g}"
