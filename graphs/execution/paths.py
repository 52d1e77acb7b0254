"""The path of operations that a forward pass takes, and where two paths part."""

from __future__ import annotations

from itertools import zip_longest
from typing import NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from graphs.execution.whereabouts import Whereabouts


class Step(NamedTuple):
    """One operation and the module that was running."""

    name: str
    module: str

    def __str__(self) -> str:
        return f"{self.name} in {self.module or 'the network'}"


class Path(TorchDispatchMode):
    """Records the steps of whatever runs under it; ``random`` holds those that draw random numbers.

    >>> here = Whereabouts()
    >>> with Path(here) as path:
    ...     _ = torch.zeros(2) + 1
    >>> [step.name for step in path.steps]
    ['zeros', 'add']
    """

    def __init__(self, where: Whereabouts) -> None:
        super().__init__()
        self.where = where
        self.steps: list[Step] = []
        self.random: dict[Step, None] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        step = Step(func.overloadpacket.__name__, self.where.path)
        self.steps.append(step)
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.random[step] = None
        return func(*args, **(kwargs or {}))


def parting(traced: list[Step], other: list[Step]) -> str:
    """Where ``other`` leaves the path that was traced, in words; empty where it does not.

    >>> parting([Step("mm", ""), Step("relu", "act")], [Step("mm", "")])
    'ends before relu in act'
    """
    for here, there in zip_longest(traced, other):
        if here != there:
            if there is None:
                return f"ends before {here}"
            return f"goes on to {there}" if here is None else f"runs {there}, the traced one {here}"
    return ""
