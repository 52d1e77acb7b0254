"""What the scripts of graph hypernetworks share: how they are trained on a data set, and how predictions are scored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from hypernets.ghn.training.running import logits
from hypernets.ghn.training.sampled import Sampled, sample
from hypernets.runs import TrainRun
from hypernets.tasks.images import Images, Split, read, space_for

# Out of distribution, beside the split that networks of training come from.
SPLITS = ("wide", "deep", "dense", "bnfree")
IMAGE_BATCH = 64


def trained(run: TrainRun) -> tuple[Any, float]:
    """The hypernetwork of a run and the CPU seconds of its training, which is done once for a folder."""
    import hypernets
    from hypernets.tasks.commands import train

    clock = Path(run.out) / "cpu_seconds.json"
    if not clock.exists():
        begun = time.process_time()
        train(run)
        clock.write_text(json.dumps(round(time.process_time() - begun, 1)))
    return hypernets.load(run.out), json.loads(clock.read_text())


def architectures(images: Images, split: str, count: int) -> list[Sampled]:
    """The first held-out architectures of a split, "" for that of training."""
    space = space_for(images) + (f"_{split}" if split else "")
    return [sample(space, seed, input_shape=images.shape, outputs=images.num_classes) for seed in range(count)]


def accuracies(
    chosen: Sequence[Sampled], weights: Callable[[Sampled], Mapping[str, Tensor]], split: Split
) -> list[float]:
    """Per cent of right classes of each network, with batch norms on the statistics of batches."""
    return [accuracy(sampled.module, weights(sampled), split) for sampled in chosen]


def accuracy(module: nn.Module, weights: Mapping[str, Tensor], split: Split) -> float:
    """Of one network, as ``accuracies``."""
    given = logits(module, weights, split.x, IMAGE_BATCH)
    return 100 * float((given.argmax(1) == split.y).float().mean())


def predicted(model: Any) -> Callable[[Sampled], Mapping[str, Tensor]]:
    """Weights that the hypernetwork writes."""

    def weights(sampled: Sampled) -> Mapping[str, Tensor]:
        with torch.no_grad():
            return model([sampled.architecture])[0]

    return weights


def own_init(sampled: Sampled) -> dict[str, Tensor]:
    """Weights of the network's own rule, the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {name: p.detach() for name, p in sampled.recipe.build().named_parameters()}


def mean(values: Sequence[float]) -> float:
    return round(fmean(values), 2)


__all__ = ["Images", "read"]
