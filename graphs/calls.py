"""Counting torch calls, so that an activation seen while tracing is found again when the network runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.overrides import TorchFunctionMode


class Calls(TorchFunctionMode):
    """Calls ``see(number, output)`` after every call of torch's Python API, numbered from 0.

    The numbers depend on the network's code alone, so they agree between tracing, running, and running under vmap. What
    happens inside one call (a fused attention function) has no number of its own.
    """

    def __init__(self, see: Callable[[int, Any], None]) -> None:
        super().__init__()
        self.see, self.number = see, -1

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        self.number += 1
        self.see(self.number, output)
        return output
