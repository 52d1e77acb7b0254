"""What the device can do at best, measured in the run that is compared with it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _results
import numpy as np
import torch
from _kernel_clock import CLOCKS
from torch import Tensor

from graphs.compiling import CompiledCode
from zoo.population.native_build import TRAINER

READING = CompiledCode("the reading loop of the benchmark", Path(__file__).parent / "native" / "reading.cpp")
_ROUNDS = 2_000_000


@dataclass(frozen=True)
class Limits:
    """Rates in bytes and operations a second; ``multiply_adds`` is None where it is not measured (a GPU).

    Args:
        copy: bytes read and bytes written by a copy of a large tensor.
        multiply_adds: independent multiply-adds on registers.
        product: a product of large matrices, in the precision that the kernels use.
    """

    copy: float
    multiply_adds: float | None
    product: float

    def rows(self) -> list[dict[str, Any]]:
        found = [_results.row("limit: copy, bytes read and written", self.copy / 1e9, "GB/s")]
        if self.multiply_adds is not None:
            found.append(_results.row("limit: multiply-adds on registers", self.multiply_adds / 1e9, "GFLOP/s"))
        return [*found, _results.row("limit: product of large matrices", self.product / 1e9, "GFLOP/s")]


def measure(device: str) -> Limits:
    """The best of ten runs of each."""
    seconds = lambda work: min(CLOCKS[device](work) for _ in range(10))  # noqa: E731
    size, side = (2**25, 1024) if device == "cpu" else (2**28, 8192)
    source, matrix = torch.rand(size, device=device), torch.rand(side, side, device=device)
    target, out = torch.empty_like(source), torch.empty_like(matrix)
    multiply_adds = None if device != "cpu" else 2.0 * _per_round() * _ROUNDS / seconds(_multiply_adds)
    return Limits(
        copy=2 * 4 * size / seconds(lambda: target.copy_(source)),
        multiply_adds=multiply_adds,
        product=2 * side**3 / seconds(lambda: torch.mm(matrix, matrix, out=out)),
    )


def reading(values: Tensor) -> Callable[[], Any]:
    """A loop that reads these contiguous float32 numbers once: what a sweep over them cannot be faster than."""
    if values.device.type != "cpu":
        return values.sum
    loop = READING.load().read_all
    loop.restype, loop.argtypes = ctypes.c_float, [ctypes.c_void_p, ctypes.c_long]
    return lambda: loop(values.data_ptr(), values.numel())


def _multiply_adds() -> float:
    rounds = TRAINER.load().fma_rounds
    rounds.restype, rounds.argtypes = ctypes.c_double, [ctypes.c_long, ctypes.c_void_p]
    return rounds(_ROUNDS, np.array([0.5, 0.25], np.float32).ctypes.data)


def _per_round() -> float:
    """Multiply-adds in a round."""
    return _multiply_adds() / 2 / _ROUNDS
