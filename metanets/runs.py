"""What the commands can be told: one frozen dataclass a verb, read from YAML and the command line.

Imports nothing heavy, so that ``--help`` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TrainRun:
    """Train a metanetwork on a zoo; score it on networks it never saw.

    Args:
        zoo: folder of the zoo.
        model: name of the model, see `metanets list`.
        out: folder that gets the model, its figures, log and checkpoints.
        task: what to predict.
        arguments: keywords of the model, such as '{"width": 64}'.
        steps: optimiser steps; 2000 where neither steps nor minutes are given.
        minutes: wall-clock limit; with steps, whichever ends first.
        batch_size: network states a step.
        lr: peak learning rate of AdamW.
        weight_decay: of AdamW, on matrices alone.
        warmup: part of the run over which the learning rate rises.
        clip: largest gradient norm; null for no clipping.
        precision: fp32 or bf16.
        evaluations: how often the val split is scored over the run.
        patience: stop after so many evaluations without a better score.
        states: all states of each network, or its final one alone.
        seed: of initial weights and order of batches.
        shuffle_targets: the control; targets dealt out at random in every split.
        checkpoint_minutes: time between checkpoints.
        tensorboard: also log to OUT/tensorboard.
        resume: go on with the run in OUT.
        device: cpu, cuda, ...
        progress: show a progress bar.
    """

    zoo: str
    model: str
    out: str
    task: str = "accuracy"
    arguments: dict[str, Any] = field(default_factory=dict)
    steps: int | None = None
    minutes: float | None = None
    batch_size: int = 32
    lr: float = 2e-3
    weight_decay: float = 1e-2
    warmup: float = 0.05
    clip: float | None = 1.0
    precision: str = "fp32"
    evaluations: int = 20
    patience: int | None = None
    states: str = "all"
    seed: int = 0
    shuffle_targets: bool = False
    checkpoint_minutes: float = 5.0
    tensorboard: bool = False
    resume: bool = False
    device: str = "cpu"
    progress: bool = True

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            object.__setattr__(self, "steps", 2000)
        if self.states not in ("all", "final"):
            raise ValueError(f"unknown states {self.states!r}; choose from all, final")
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"unknown precision {self.precision!r}; choose from fp32, bf16")
        if self.batch_size < 1:
            raise ValueError(f"expected batch_size >= 1, got {self.batch_size}")


@dataclass(frozen=True)
class EvalRun:
    """Score a trained metanetwork on a zoo.

    Args:
        checkpoint: folder of the trained model.
        zoo: folder of the zoo.
        split: train, val, test, or all (a zoo none of whose networks it was trained on).
        task: what it predicts.
        json: file that gets the figures.
        batch_size: network states at once.
        device: cpu, cuda, ...
    """

    checkpoint: str
    zoo: str
    split: str = "test"
    task: str = "accuracy"
    json: str | None = None
    batch_size: int = 64
    device: str = "cpu"


@dataclass(frozen=True)
class PredictRun:
    """Predict from weights: those of a zoo, or a folder of state dicts.

    Args:
        checkpoint: folder of the trained model.
        zoo: folder of a zoo.
        weights: folder of state dicts (.safetensors, or .pt and .pth read without pickle), one network a file.
        arch: what made them, a built-in family or module:factory.
        arch_args: keywords of the factory, such as '{"width": 16}'.
        input_shape: shape of one input batch of the network, such as 1,1,8,8; known for built-in families.
        split: of the zoo; train, val, test or all.
        task: what the model predicts.
        json: file that gets the predictions.
        batch_size: networks at once.
        device: cpu, cuda, ...
    """

    checkpoint: str
    zoo: str | None = None
    weights: str | None = None
    arch: str | None = None
    arch_args: dict[str, Any] = field(default_factory=dict)
    input_shape: str | None = None
    split: str = "all"
    task: str = "accuracy"
    json: str | None = None
    batch_size: int = 64
    device: str = "cpu"

    def __post_init__(self) -> None:
        if (self.zoo is None) == (self.weights is None):
            given = "neither" if self.zoo is None else "both"
            raise ValueError(f"give --zoo FOLDER or --weights FOLDER, one of them; got {given}")
        if self.weights is not None and self.arch is None:
            raise ValueError("--weights needs --arch, the family or module:factory that made the networks, such as mlp")
        self.shape()

    def shape(self) -> tuple[int, ...] | None:
        """The input shape as integers."""
        if self.input_shape is None:
            return None
        try:
            return tuple(int(size) for size in self.input_shape.split(","))
        except ValueError as error:
            raise ValueError(f"expected --input-shape such as 1,1,8,8, got {self.input_shape!r}") from error
