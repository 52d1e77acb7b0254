"""What is to be predicted of an architecture: accuracy, parameters, time of an image, updates to a training loss."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from metanets.json_files import write_json

if TYPE_CHECKING:
    from zoo import Member, Zoo

# Property -> the scale on which it is learned.
PROPERTIES = {"accuracy": "logit", "parameters": "log", "inference": "log", "convergence": "log"}
# The training loss that a network has to reach, and how many times its run an extrapolation may say at most.
LEVEL, MOST = 0.5, 4.0
IMAGES, REPEATS = 64, 9


def labels_of(zoo: Zoo, path: Path) -> list[dict[str, Any]]:
    """A row a network that did not diverge: id, recipe and PROPERTIES; those already in ``path`` are taken thence."""
    known = {row["id"]: row for row in json.loads(path.read_text())} if path.is_file() else {}
    rows = []
    for number, member in enumerate(zoo.filter(status="ok")):
        rows.append(known.get(member.id) or _label(member))
        if number % 50 == 49:
            write_json(path, rows)
    write_json(path, rows)
    return rows


def _label(member: Member) -> dict[str, Any]:
    metrics, module = member.metrics, member.module()
    return {
        "id": member.id,
        "recipe": member.recipe,
        "accuracy": float(metrics["test_accuracy"][-1]),
        "parameters": sum(p.numel() for p in module.parameters()),
        "inference": seconds_per_image(module, member.recipe["arguments"]["input_shape"]),
        "convergence": updates_to(member.epochs, metrics["train_loss"].tolist(), math.log(10)),
    }


def updates_to(updates: Sequence[int], losses: Sequence[float], first: float) -> float:
    """Updates until the training loss is ``LEVEL``: between two states as an exponential goes; where it is not reached,
    at the mean rate of the whole run, and at most ``MOST`` runs.

    Args:
        updates: of the states, rising. losses: at them. first: loss before training.

    >>> updates_to([1, 2], [1.0, 0.25], 2.3), updates_to([2], [2.3], 2.3), round(updates_to([1], [1.0], 2.0), 6)
    (1.5, 8.0, 2.0)
    """
    at, before = 0.0, first
    for update, loss in zip(updates, losses, strict=True):
        if loss <= LEVEL:
            return at + (update - at) * math.log(before / LEVEL) / math.log(before / max(loss, 1e-12))
        at, before = float(update), loss
    slope = math.log(first / before) / at
    return min(MOST * at, math.log(first / LEVEL) / slope) if slope > 0 else MOST * at


def seconds_per_image(module: nn.Module, input_shape: Sequence[int]) -> float:
    """CPU seconds of one image in a forward pass of ``IMAGES``, one thread, the median of ``REPEATS``."""
    torch.set_num_threads(1)
    x = torch.randn(IMAGES, *input_shape, generator=torch.Generator().manual_seed(0))
    times = []
    with torch.inference_mode():
        for _ in range(2 + REPEATS):
            began = time.process_time()
            module(x)
            times.append(time.process_time() - began)
    return statistics.median(times[2:]) / IMAGES
