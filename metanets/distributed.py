"""One run on the processes that torchrun started: equal weights, averaged gradients, one clock.

Every function does nothing where there is one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def start(device: str = "cpu") -> None:
    """Join the processes of torchrun, over gloo on the CPU and over nccl on GPUs; once, before the model is made, since
    "cuda" then means the GPU of this process."""
    if "WORLD_SIZE" in os.environ and not dist.is_initialized():
        if device == "cuda":
            # Without a number all processes would take the first GPU.
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("gloo" if device == "cpu" else "nccl")


def rank() -> int:
    """Number of this process; the one numbered 0 writes files and shows progress."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def same_weights(model: nn.Module) -> None:
    """Give every process the weights of the first."""
    if world() > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by the mean over processes; one that is missing counts as 0."""
    if world() == 1:
        return
    trained = [p for p in parameters if p.requires_grad]
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in trained])
    dist.all_reduce(flat)
    for p, mean in zip(trained, (flat / world()).split([p.numel() for p in trained]), strict=True):
        p.grad = mean.view_as(p)


def first_of(value: float, device: torch.device) -> float:
    """The number that the first process gives."""
    if world() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, src=0)
    return float(shared)


def mean(figures: dict[str, Any], device: torch.device) -> dict[str, float]:
    """Every figure averaged over processes."""
    values = {name: float(value) for name, value in figures.items()}
    if world() == 1:
        return values
    shared: Tensor = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
    dist.all_reduce(shared)
    return dict(zip(values, (shared / world()).tolist(), strict=True))
