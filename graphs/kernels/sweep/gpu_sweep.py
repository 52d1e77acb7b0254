"""The launches of one sweep on a GPU: which kernel, over which pieces, with which tile."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from graphs.kernels.sweep import gpu_tuning
from graphs.kernels.sweep.gpu_backward import Gradients, Weights, backward_kernel
from graphs.kernels.sweep.gpu_plan import Pieces, Plan
from graphs.kernels.sweep.gpu_reduce import combine
from graphs.kernels.sweep.gpu_shape import Columns, Pack, Shape, padded
from graphs.kernels.sweep.program import Operands, Program

PRECISIONS = ("ieee", "tf32", "tf32x3", "bf16")
VARIABLE = "METAZOO_PRECISION"
# Of the statistics that are not sums.
SIGNS = {"max": 1, "min": -1}
PROGRAMS_OF_A_PROCESSOR = 16
# Each program that sums gradients of weights has a copy of them, and registers for few others beside it; the copies
# together take no more than this.
SUMMING_PROGRAMS_OF_A_PROCESSOR = 4
BYTES_OF_SUMS = 2**26


def precision() -> str:
    """What products of float32 are made in. Raises ValueError for an unknown METAZOO_PRECISION."""
    chosen = os.environ.get(VARIABLE, "")
    if chosen and chosen not in PRECISIONS:
        raise ValueError(f"{VARIABLE}={chosen!r} is unknown; choose among {', '.join(PRECISIONS)}")
    return chosen or ("ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32")


@dataclass(frozen=True)
class Sweep:
    """What the launches of a sweep share. Args: sources, num_nodes: rows of U and P, and of V and Q."""

    shape: Shape
    operands: Operands
    sources: int
    num_nodes: int

    @classmethod
    def of(cls, program: Program, t: Operands, num_nodes: int) -> Sweep:
        t = Operands(t.e.contiguous(), *(None if x is None else x.contiguous() for x in t[1:]))
        sources = next((x.shape[-2] for x in (t.U, t.P) if x is not None), num_nodes)
        return cls(Shape.of(program, t, precision()), t, sources, num_nodes)

    def empty(self, *size: int) -> Tensor:
        return self.operands.e.new_empty(size, dtype=self.operands.compute_dtype)

    def launch(self, kernel: Any, plan: Plan, pieces: Pieces, count: int, *arguments: Any) -> None:
        """Run ``count`` programs of a kernel over pieces of one width, with the tile that suits it."""
        number, device = len(pieces.count), self.operands.e.device
        if not number:
            return
        shape = replace(self.shape, order=plan.order, W=pieces.width)
        # Extremes are recognised by their bits, see gpu.py.
        fusion = not (shape.max or shape.min)
        pointers = self.operands, columns(pieces, plan)
        last = number, self.sources, self.num_nodes

        def run(tile: gpu_tuning.Tile) -> None:
            how: dict[str, Any] = {"num_warps": tile.warps, "num_stages": tile.stages, "enable_fp_fusion": fusion}
            with _on(device):
                start(kernel, (count, 1), *pointers, *arguments, *last, S=replace(shape, T=tile.T), **how)

        run(gpu_tuning.tile_for(kernel.__name__, shape, number * pieces.width, run, device))

    def combine(self, plan: Plan, kind: str, part: Tensor, out: Tensor, ties: Any = None, out_ties: Any = None) -> None:
        """Reduce the partial results of a plan into ``out``: by sum, or by max or min with the number that attains it.

        Shapes: part ``[*, slots, F]``, out ``[*, N, F]``, likewise ties.
        """
        layers, F, level = prod(out.shape[:-2]), out.shape[-1], plan.rest
        while level is not None:
            left = part.new_empty(*part.shape[:-2], max(level.slots, 1), F)
            left_ties = None if ties is None else torch.empty_like(left)
            for pieces in level.pieces:
                sizes = len(pieces.count), part.shape[-2], out.shape[-2], left.shape[-2]
                tensors = part, ties, out, out_ties, left, left_ties, columns(pieces)
                grid = self.programs(pieces), layers
                if sizes[0]:
                    with _on(part.device):
                        choices = {
                            "WIDTH": F,
                            "PADDED": padded(F),
                            "SIGN": SIGNS.get(kind, 0),
                            "S": Pack(32, pieces.width),
                        }
                        start(combine, grid, *tensors, *sizes, **choices, enable_fp_fusion=True)
            part, ties, level = left, left_ties, level.rest

    def backward(
        self, plan: Plan, inputs: Iterable[Any], wanted: set[str], message: str, update: str
    ) -> dict[str, Tensor]:
        """The wanted gradients by one pass; ``message`` and ``update`` name those of the nodes where pieces meet."""
        t, slots = self.operands, max(plan.slots, 1)
        sizes = {message: (self.shape.G,), update: (self.shape.H,)}
        found = {name: torch.empty_like(getattr(t, name)) for name in wanted & {"e", *sizes}}
        parts = {name: self.empty(*found[name].shape[:-2], slots, *sizes[name]) for name in found if name in sizes}
        nodes = [x.get(name) for name in (message, update) for x in (found, parts)]
        counts = [self.programs(pieces, wanted) for pieces in plan.pieces]
        sums = {name: self.empty(sum(counts), *getattr(t, name).shape) for name in wanted & {*Weights._fields}}
        where = Gradients(found.get("e"), *nodes), Weights(*(sums.get(name) for name in Weights._fields))
        for k, pieces in enumerate(plan.pieces):
            self.launch(backward_kernel, plan, pieces, counts[k], *inputs, *where, slots, sum(counts[:k]))
        for name, part in parts.items():
            self.combine(plan, "sum", part, found[name])
        return found | {name: x.sum(0) for name, x in sums.items()}

    def programs(self, pieces: Pieces, wanted: Iterable[str] = ()) -> int:
        """How many programs share the pieces: as many as the device runs at once, at most one for 32 edges."""
        copies = [getattr(self.operands, name) for name in wanted if name in Weights._fields]
        bytes_of_sums = sum(x.numel() * x.element_size() for x in copies)
        needed = -(-len(pieces.count) * pieces.width // 32)
        if not bytes_of_sums:
            return min(needed, PROGRAMS_OF_A_PROCESSOR * _processors(self.operands.e.device))
        at_once = SUMMING_PROGRAMS_OF_A_PROCESSOR * _processors(self.operands.e.device)
        return min(needed, at_once, max(BYTES_OF_SUMS // bytes_of_sums, 1))


def columns(pieces: Pieces, plan: Plan | None = None) -> Columns:
    """The pieces as a kernel reads them."""
    ends = (None, None) if plan is None else (plan.ends, plan.edges)
    return Columns(pieces.first, pieces.other, pieces.stride, pieces.count, pieces.node, pieces.slot, *ends)


def start(kernel: Any, grid: tuple[int, int], *arguments: Any, **choices: Any) -> None:
    """Launch a kernel."""
    kernel[grid](*arguments, **choices)


def _processors(device: torch.device) -> int:
    """Multiprocessors of a device; 1 for the interpreter."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def _on(device: torch.device) -> Any:
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
