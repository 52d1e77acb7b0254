"""Which module is running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class Whereabouts:
    """The innermost module that is running, kept by hooks; after an error it is the module that failed.

    Attributes:
        path, layer: its path and class; "" where none runs.
        call: number of this run of it, counted from 1 over all modules.

    >>> here, net = Whereabouts(), nn.Sequential(nn.Identity())
    >>> with here.within(net):
    ...     _ = net[0].register_forward_pre_hook(lambda *_: print(here.path, here.layer, here.call))
    ...     _ = net(0)
    0 Identity 2
    """

    def __init__(self) -> None:
        self._stack: list[tuple[str, str, int]] = [("", "", 0)]
        self._calls = 0

    @property
    def path(self) -> str:
        return self._stack[-1][0]

    @property
    def name(self) -> str:
        """The module in a message."""
        if not self.path:
            return "its forward pass"
        return repr(self.path if len(self.path) <= 80 else f"{self.path[:80]}...")

    @property
    def layer(self) -> str:
        return self._stack[-1][1]

    @property
    def call(self) -> int:
        return self._stack[-1][2]

    @contextmanager
    def within(self, root: nn.Module) -> Iterator[None]:
        handles = []
        for name, module in root.named_modules():
            handles.append(module.register_forward_pre_hook(lambda m, _, n=name: self._enter(n, m)))
            handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str, module: nn.Module) -> None:
        self._calls += 1
        self._stack.append((name, type(module).__name__, self._calls))

    def _leave(self, *_: Any) -> None:
        self._stack.pop()
