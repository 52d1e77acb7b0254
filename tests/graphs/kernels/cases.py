"""Tables and operands on which back ends are compared with the reference."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphs.kernels import BlockTable
from graphs.kernels.sweep import reference
from graphs.kernels.sweep.program import OPERANDS, Operands, Program

NODES = 23


def table(counts: Sequence[int], seed: int = 0, with_col: bool = False) -> BlockTable:
    """A row of each count; their nodes are drawn, so that some have several rows and some have none."""
    generator = torch.Generator().manual_seed(seed)
    nodes = max([NODES, *(count + 3 for count in counts)])
    rows, first = [], 0
    for count in counts:
        source = int(torch.randint(nodes - count + 1, (), generator=generator))
        rows.append([first, source, count, int(torch.randint(nodes // 2, (), generator=generator))])
        first += count
    col = torch.randint(nodes, (first,), generator=generator) if with_col else None
    return BlockTable.from_rows(rows, nodes, col)


def operands(
    program: Program,
    on: BlockTable,
    *,
    width: int,
    hidden: int | None = None,
    out: int | None = None,
    raw: int = 2,
    updates: int = 0,
    without: Sequence[str] = (),
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Operands:
    """Random operands of a program: edges of ``width``, ``hidden`` units in updates (width), messages of ``out``."""
    generator = torch.Generator().manual_seed(seed)
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    encoded, E, N = program.encoder != "stored", on.num_edges, on.num_nodes
    H, G = hidden or width, out or width
    wide = 2 * G if program.message == "film" else G
    shapes = {"e": (E, raw if encoded else width)}
    if encoded:
        shapes |= {"enc_a": (raw, width), "enc_b": (width,)}
    if updates:
        shapes |= {"U": (updates, N, H), "V": (updates, N, H), "Wu": (updates, width, H), "bu": (updates, H)}
        shapes |= {"Wo": (updates, H, width), "bo": (updates, width)}
    if program.message != "edge":
        shapes |= {"P": (N, G), "Q": (N, G), "We": (width, wide), "be": (wide,)}
    drawn = {
        n: torch.randn(s, generator=generator, dtype=torch.float64) / (s[-2] ** 0.5 if n.startswith("W") else 1)
        for n, s in shapes.items()
    }
    kept = {n: x.to(dtype if n == "e" else compute) for n, x in drawn.items() if n not in without}
    return Operands(**kept)


def leaves(t: Operands) -> Operands:
    """The operands as leaves of a graph of their own."""
    given = {n: x.detach().requires_grad_() for n, x in zip(OPERANDS, t, strict=True) if x is not None}
    return t._replace(**given)


def outputs_and_gradients(run, program: Program, t: Operands, on: BlockTable) -> dict[str, Tensor]:
    """All that ``run(program, operands, table)`` gives, and the gradients of a random sum of it."""
    t = leaves(t)
    edges, statistics = run(program, t, on)
    outputs = {**({} if edges is None else {"edges": edges}), **dict(zip(program.statistics, statistics, strict=True))}
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in outputs.values()]
    names = [n for n, x in zip(OPERANDS, t, strict=True) if x is not None]
    inputs = [getattr(t, n) for n in names]
    gradients = torch.autograd.grad(list(outputs.values()), inputs, weights, allow_unused=True)
    found = {
        f"d {n}": torch.zeros_like(x) if g is None else g for n, x, g in zip(names, inputs, gradients, strict=True)
    }
    return {**{n: x.detach() for n, x in outputs.items()}, **found}


def assert_same(run, program: Program, t: Operands, on: BlockTable, tolerance: float) -> None:
    """``run`` agrees with the reference to ``tolerance`` of the largest value of each tensor."""
    expected = outputs_and_gradients(reference.sweep, program, t, on)
    arrived = outputs_and_gradients(run, program, t, on)
    for name, value in expected.items():
        assert arrived[name].dtype == value.dtype, name
        assert arrived[name].shape == value.shape, name
        scale = max(1.0, float(value.abs().max())) if value.numel() else 1.0
        difference = float((arrived[name].double() - value.double()).abs().max()) if value.numel() else 0.0
        assert difference <= tolerance * scale, f"{name}: off by {difference:.3g}, largest value {scale:.3g}"
