"""Where a step runs: batches on the device of the model, in its precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def require(name: str) -> None:
    """A ValueError where this machine has no such device."""
    cards = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    choices = ["cpu", *(["cuda"] if cards else []), *cards, *(["mps"] if torch.backends.mps.is_available() else [])]
    if name not in choices:
        raise ValueError(f"there is no device {name!r} on this machine; choose from {', '.join(choices)}")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 for "bf16", nothing for "fp32"."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def move(batch: Any, device: torch.device) -> Any:
    """The batch on ``device``: whatever has ``to``, or a dict, list or (named) tuple of such; the rest as it is."""
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: move(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        moved = [move(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch
