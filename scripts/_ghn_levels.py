"""The scale of what every module of a network puts out that has parameters."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from graphs.execution.trees import tensors_in
from graphs.execution.unchanged import attributes_unchanged
from hypernets.ghn.batch_statistics import normalise_by_batch

# Root mean squares by module, of the network itself under "".
Levels = dict[str, float]


def levels(module: nn.Module, inputs: tuple[Any, ...]) -> Levels:
    """Root mean square of the floating tensors that each module with parameters puts out, in one forward pass.

    Batch norms normalise by the batch.
    """
    found: Levels = {}
    # Some passes leave attributes behind that a second one trips over.
    with attributes_unchanged(module), torch.no_grad():
        normalise_by_batch(module)
        for name, part in module.named_modules():
            if any(True for _ in part.parameters()):
                part.register_forward_hook(_noting(name, found))
        torch.manual_seed(0)
        module(*inputs)
    return found


def _noting(name: str, found: Levels) -> Any:
    def note(module: nn.Module, given: Any, out: Any) -> None:
        tensors = [t.float() for t in tensors_in(out) if isinstance(t, Tensor) and t.is_floating_point() and t.numel()]
        if tensors:
            squares = sum(float(t.square().sum(dtype=torch.float64)) for t in tensors)
            found[name] = math.sqrt(squares / sum(t.numel() for t in tensors))

    return note


def compared(own: Levels, now: Levels) -> dict[str, Any]:
    """Ratios to the own rule, at the output, in the median of modules, and the farthest from 1 as times off.

    >>> compared({"": 1.0, "a": 2.0, "zero": 0.0}, {"": 3.0, "a": 1.0, "zero": 1.0})
    {'output': 3.0, 'median': 1.75, 'worst': 3.0, 'worst_at': '', 'finite': True}
    """
    ratios = {name: now[name] / own[name] for name in own if own[name] and name in now}
    off = {name: max(r, 1 / r) if 0 < r < math.inf else math.inf for name, r in ratios.items()}
    worst = max(off, key=off.__getitem__, default="")
    return {
        "output": ratios.get(""),
        "median": median(ratios.values()) if ratios else None,
        "worst": off.get(worst, 1.0),
        "worst_at": worst,
        "finite": all(map(math.isfinite, now.values())),
    }
