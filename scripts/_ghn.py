"""What the scripts of graph hypernetworks share: how they are trained on a data set, and how predictions are scored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from hypernets.ghn.training.running import logits
from hypernets.ghn.training.sampled import Sampled, sample
from hypernets.runs import TrainRun
from hypernets.tasks.images import Images, Split, space_for
from metanets.callbacks import read_log
from metanets.json_files import write_json

# Out of distribution, beside the split that networks of training come from.
SPLITS = ("wide", "deep", "dense", "bnfree")
IMAGE_BATCH = 64


def trained(run: TrainRun) -> tuple[Any, float]:
    """The hypernetwork of a run and the CPU seconds of its training, which is done once for a folder and a run.

    Parts of it that were interrupted count with their wall-clock time, which is no less on one thread. Raises
    ValueError for a folder of a run with other options.
    """
    import hypernets
    from hypernets.tasks.commands import train

    path, told = Path(run.out) / "trained.json", json.loads(json.dumps(asdict(run)))
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("run") != told:
        begun = time.process_time()
        train(run)
        starts = [record for record in read_log(Path(run.out) / "log.jsonl") if record["event"] == "start"]
        known = {"run": told, "seconds": round(time.process_time() - begun + starts[-1]["seconds"], 1)}
        write_json(path, known)
    return hypernets.load(run.out), known["seconds"]


def architectures(images: Images, split: str, count: int, space: str | None = None) -> list[Sampled]:
    """The first held-out architectures of a split, "" for that of training, of a space or the one for the images."""
    name = (space or space_for(images)) + (f"_{split}" if split else "")
    return [sample(name, seed, input_shape=images.shape, outputs=images.num_classes) for seed in range(count)]


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
