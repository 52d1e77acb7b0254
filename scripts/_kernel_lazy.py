"""Messages of edges that are made from raw weights as they are read, compared with reading stored edges once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import _results
import torch
from _kernel_cases import BOTH, FORWARD, Case
from _kernel_clock import best_times
from _kernel_limits import reading
from _kernel_memory import peak_extra
from _kernel_timing import KERNELS, Subject, check
from torch import Tensor

from graphs.kernels import BlockTable, lazy_message

WIDTH = 16
# Greatest time in units of reading a stored [E, F] once, on the CPU.
BOUNDS = {FORWARD: 1.5, BOTH: 6.0}


def linear_layer(size: int, device: str) -> Case:
    """A linear layer of ``size`` inputs and outputs, an edge a weight."""
    every = torch.arange(size)
    rows = torch.stack([size * every, torch.zeros_like(every), torch.full_like(every, size), size + every], dim=1)
    shapes = {"e": (size**2, 1), "a": (1, WIDTH), "b": (WIDTH,), "P": (2 * size, WIDTH), "Q": (2 * size, WIDTH)}
    tensors = {name: torch.randn(shape, device=device) for name, shape in {**shapes, "We": (WIDTH, WIDTH)}.items()}
    title = f"lazy messages, {size**2:,} edges, F={WIDTH}"
    inputs = {name: x.requires_grad_() for name, x in tensors.items()}
    return Case(title, BlockTable.from_rows(rows, 2 * size).to(device), inputs, _run, {}, {})


def _run(t: Mapping[str, Tensor], table: BlockTable) -> tuple[Tensor, ...]:
    return lazy_message(t["e"], t["a"], t["b"], t["P"], t["Q"], t["We"], table)


def measure(device: str, size: int, repeats: int) -> list[dict[str, Any]]:
    """Times, in milliseconds and in units of reading, with gradients of all inputs, raw weights included."""
    small = Subject(linear_layer(128, device))
    check(small, KERNELS)
    case = linear_layer(size, device)
    subject = Subject(case, KERNELS)
    # Written, for memory that never was is not read either.
    stored = torch.empty(case.table.num_edges, WIDTH, device=device).fill_(1.0)
    works = {name: lambda work=work: work(KERNELS) for name, work in subject.passes().items()}
    times = best_times({**works, "reading": reading(stored)}, device, repeats)
    rows = [_results.row(f"{case.name}: reading stored edges once", 1e3 * times["reading"], "ms")]
    for name, bound in BOUNDS.items():
        rows.append(_results.row(f"{case.name}: {name}", 1e3 * times[name], "ms"))
        units = times[name] / times["reading"]
        at_most = bound if device == "cpu" else None
        rows.append(_results.row(f"{case.name}: {name}, in times of reading", units, "x", at_most=at_most))
    return rows


def measure_memory(device: str, size: int) -> list[dict[str, Any]]:
    """Beside the gradient of the raw weights, which is returned."""
    case = linear_layer(size, device)
    subject = Subject(case, KERNELS)
    extra = peak_extra(lambda: subject.both(KERNELS), device) - 4 * case.table.num_edges
    return [_results.row(f"{case.name}: peak extra memory beside the gradient of the weights", extra / 1e6, "MB")]
