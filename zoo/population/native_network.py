"""One network in the memory of the compiled kernels."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.population.native_build import TRAINER
from zoo.population.native_masks import draw_masks
from zoo.population.native_program import Program
from zoo.population.settings import MemberSettings

RULES = {"sgd": 0, "adam": 1, "adamw": 2}
LOSSES = {"cross_entropy": 0, "mse": 1}
NAMES = {torch.float32: "f32", torch.float64: "f64"}

_P, _LONG, _REAL = ctypes.c_void_p, ctypes.c_long, ctypes.c_double
# The functions of network.cpp: what they return, what they take.
SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "make": (_P, [_P, _P, _LONG, _P, _LONG]),
    "free": (None, [_P]),
    "set": (None, [_P, _P]),
    "get": (None, [_P, _P]),
    "rule": (None, [_P, _LONG, _REAL, _REAL, _REAL]),
    "mask": (None, [_P, _P]),
    "train": (_LONG, [_P, _P, _P, _P, _LONG, _LONG, _P, _P]),
    "predict": (None, [_P, _P, _P, _LONG, _P]),
}


class Network:
    """A network in the memory of the compiled kernels, with its optimiser.

    Args:
        program: its layers.
        loss: one of ``LOSSES``.
        weights: ``[P]``, float32 or float64, in the order of the state_dict.
        settings: its optimiser.
        mask: ``[P]``, 0 for a weight that has no gradient; None for none.
    """

    def __init__(
        self, program: Program, loss: str, weights: Tensor, settings: MemberSettings, mask: Tensor | None = None
    ):
        self.program, self.dtype, self.count = program, weights.dtype, len(weights)
        self.lost = False
        layers, parameters, shape = (
            np.array(values, dtype)
            for values, dtype in (
                (program.layers, np.int64),
                (program.parameters, np.float64),
                (program.shape, np.int64),
            )
        )
        self.handle = self._call("make", _at(layers), _at(parameters), len(layers), _at(shape), LOSSES[loss])
        if not self.handle:
            raise MemoryError("there is no memory for a network of the native trainer; use fewer workers")
        self._call("set", self.handle, _at(weights))
        first, second = (settings.momentum, 0.0) if settings.optimiser == "sgd" else settings.betas
        self._call("rule", self.handle, RULES[settings.optimiser], settings.weight_decay, first, second)
        if mask is not None:
            self._call("mask", self.handle, _at(mask))

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self._call("free", self.handle)

    def train(self, x: Tensor, y: Tensor, batches: Tensor, rates: np.ndarray) -> None:
        """One pass over batches ``[steps, batch]`` at float64 rates ``[steps]``; a network whose loss is not finite is
        lost from then on."""
        steps, batch = batches.shape
        masks = self._masks(steps, batch) if self.program.dropouts else torch.empty(0, dtype=torch.uint8)
        rates = np.ascontiguousarray(rates)
        x, y, rows = x.contiguous(), y.contiguous(), batches.contiguous()
        taken = self._call("train", self.handle, _at(x), _at(y), _at(rows), steps, batch, _at(rates), _at(masks))
        self.lost = self.lost or taken < steps

    def weights(self) -> Tensor:
        """``[P]``, NaN for a network that is lost."""
        flat = torch.full((self.count,), float("nan"), dtype=self.dtype)
        if not self.lost:
            self._call("get", self.handle, _at(flat))
        return flat

    def predict(self, x: Tensor, rows: Tensor) -> Tensor:
        """Outputs ``[n, outputs]`` for samples ``rows [n]`` of ``x``."""
        x, rows = x.contiguous(), rows.contiguous()
        out = torch.full((len(rows), self.program.outputs), float("nan"), dtype=self.dtype)
        if not self.lost:
            self._call("predict", self.handle, _at(x), _at(rows), len(rows), _at(out))
        return out

    def _masks(self, steps: int, batch: int) -> Tensor:
        """Bytes of what dropout keeps in each step."""
        chances, sizes = zip(
            *((1 - rate, batch * math.prod(shape)) for rate, shape in self.program.dropouts), strict=True
        )
        return draw_masks(chances, sizes, steps)

    def _call(self, name: str, *arguments: Any) -> Any:
        function = getattr(TRAINER.load(), f"{NAMES[self.dtype]}_{name}")
        function.restype, function.argtypes = SIGNATURES[name]
        return function(*arguments)


def _at(values: Tensor | np.ndarray) -> int:
    assert values.flags.c_contiguous if isinstance(values, np.ndarray) else values.is_contiguous()
    return values.ctypes.data if isinstance(values, np.ndarray) else values.data_ptr()
