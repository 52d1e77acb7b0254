"""Counting torch calls, so that an activation seen while tracing is found again when the network runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

# Calls that hand values to plain Python or numpy, where nothing can be followed.
LEAVING = frozenset("numpy tolist item __array__ __bool__ __int__ __float__ __index__ __complex__".split())


class Calls(TorchFunctionMode):
    """Calls ``see(number, output)`` after every call of torch's Python API, numbered from 0; ``leave(name, tensor)``
    before one that hands the values of a tensor to plain Python.

    The numbers depend on the network's code alone, so they agree between tracing, running, and running under vmap. What
    happens inside one call (a fused attention function) has no number of its own.
    """

    def __init__(
        self, see: Callable[[int, Any], None], leave: Callable[[str, Any], None] = lambda name, tensor: None
    ) -> None:
        super().__init__()
        self.see, self.leave, self.number = see, leave, -1

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func.__name__ in LEAVING and args:
            with _unwatched():
                self.leave(func.__name__, args[0])
        output = func(*args, **(kwargs or {}))
        self.number += 1
        with _unwatched():
            self.see(self.number, output)
        return output


@contextmanager
def _unwatched() -> Iterator[None]:
    """Torch calls in here are those of whoever looks at the network, which no mode has to do with."""
    with torch._C.DisableTorchFunction(), _disable_current_modes():
        yield
