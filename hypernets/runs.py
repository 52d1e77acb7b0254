"""What ``hypernets train`` can be told, read from YAML and the command line.

Imports nothing heavy, so that ``--help`` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TrainRun:
    """Train a graph hypernetwork on random architectures; score it on architectures it never saw.

    Args:
        data: digits, or a folder or hub id of images as `zoo` reads them.
        out: folder that gets the model, its figures, log and checkpoints.
        space: of architectures; deepnets_small by default for images below 16 pixels, else deepnets.
        model: name of the model, see `hypernets list`.
        arguments: keywords of the model, such as '{"hidden": 64}'.
        steps: optimiser steps; 2000 where neither steps nor minutes are given.
        minutes: wall-clock limit; with steps, whichever ends first.
        meta_batch: architectures a step and process.
        image_batch: images a step, the same for all its architectures.
        accumulate: meta-batches whose mean gradient makes one step.
        max_nodes: largest number of nodes of a meta-batch; architectures beyond it are left out.
        pool: number of different training architectures.
        lr: peak learning rate.
        weight_decay: on matrices alone.
        warmup: part of the run over which the learning rate rises.
        clip: largest gradient norm; null for no clipping.
        network_clip: largest gradient norm of one network's weights; null for no clipping.
        optimiser: adam (GHN-2) or adamw (GHN-3).
        schedule: cosine (GHN-3), or steps by tenths after 2/3 and 5/6 (GHN-2).
        label_smoothing: of the cross-entropy.
        rates: factors of the learning rate by a part of the names of parameters, such as '{"classes": 5}'.
        identity: strength of the identity that untrained weights are near to; 0 for the published start.
        update_bias: added to that of the update gates of untrained models; 0 for the published start.
        norm_penalty: factor of the norms of predicted parameters, 3e-5 in GHN-3.
        augment: none, shift or shift-mirror.
        precision: fp32 or bf16.
        evaluations: how often held-out architectures are scored on validation images over the run.
        architectures: number of held-out architectures to score.
        limit: at most so many training and so many test images.
        seed: of initial weights, architectures and images.
        workers: processes that draw architectures ahead; 0 for none.
        checkpoint_minutes: time between checkpoints.
        tensorboard: also log to OUT/tensorboard.
        resume: go on with the run in OUT.
        device: cpu, cuda, ...
        progress: show a progress bar.
    """

    data: str
    out: str
    space: str | None = None
    model: str = "ghn2"
    arguments: dict[str, Any] = field(default_factory=dict)
    steps: int | None = None
    minutes: float | None = None
    meta_batch: int = 8
    image_batch: int = 64
    accumulate: int = 1
    max_nodes: int = 2200
    pool: int = 1_000_000
    lr: float = 1e-3
    weight_decay: float = 1e-5
    warmup: float = 0.05
    clip: float | None = 5.0
    network_clip: float | None = None
    optimiser: str = "adam"
    schedule: str = "cosine"
    label_smoothing: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    identity: float = 0.0
    update_bias: float = 0.0
    norm_penalty: float = 0.0
    augment: str = "none"
    precision: str = "fp32"
    evaluations: int = 10
    architectures: int = 50
    limit: int | None = None
    seed: int = 0
    workers: int = 0
    checkpoint_minutes: float = 5.0
    tensorboard: bool = False
    resume: bool = False
    device: str = "cpu"
    progress: bool = True

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            object.__setattr__(self, "steps", 2000)
        for name in ("meta_batch", "architectures", "pool", "max_nodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} >= 1, got {getattr(self, name)}")
        if self.image_batch < 2:
            raise ValueError(f"expected image_batch >= 2, which batch norms need, got {self.image_batch}")
        if self.workers < 0:
            raise ValueError(f"expected workers >= 0, got {self.workers}")
