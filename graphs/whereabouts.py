"""Which module is running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class Whereabouts:
    """The path of the innermost module that is running, kept by hooks; after an error it names the module that failed.

    >>> here, net = Whereabouts(), nn.Sequential(nn.Identity())
    >>> with here.within(net):
    ...     _ = net[0].register_forward_hook(lambda *_: print(here.path))
    ...     _ = net(0)
    0
    """

    def __init__(self) -> None:
        self._stack: list[str] = []

    @property
    def path(self) -> str:
        return self._stack[-1] if self._stack else ""

    @contextmanager
    def within(self, root: nn.Module) -> Iterator[None]:
        handles = []
        for name, module in root.named_modules():
            handles.append(module.register_forward_pre_hook(lambda *_, n=name: self._stack.append(n)))
            handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _leave(self, *_: Any) -> None:
        self._stack.pop()
