"""What may differ between members of one architecture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

MOMENTUM = 0.9
GAMMA = 0.1
OPTIMISERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "step", "cosine", "one_cycle")
INITS = ("default", "normal", "uniform", "kaiming_uniform", "kaiming_normal", "xavier_uniform")


@dataclass(frozen=True)
class MemberSettings:
    """The hyper-parameters of one member.

    Args:
        seed: source of all its randomness: weights, batch order, dropout.
        activation: activation in place of the recipe's; None keeps it.
        init: one of ``INITS``; "default" is what the layers do by themselves.
        init_scale: factor on the initial weights (not on biases).
        optimiser: one of ``OPTIMISERS``.
        lr: learning rate.
        weight_decay: L2 penalty (sgd, adam) or decoupled decay (adamw).
        momentum: of sgd alone; 0.9 where nothing is said, 0 for plain gradient descent.
        betas: of adam and adamw.
        dropout: dropout probability in place of the recipe's; None keeps it.
        train_fraction: part of the training samples that it sees, in (0, 1].
        image: index of the training image that it fits, for an image network; None for a classifier.
        schedule: one of ``SCHEDULES``; see ``zoo.population.schedules``.
        step_size: epochs (or updates, where these are counted) after which a step schedule multiplies the rate by
            ``gamma``; None is a third of the training.
        gamma: that factor.
        target_psnr: dB at which an image network stops: from the first kept state that has it on, nothing changes.
        label_noise: part of the training labels that are replaced by wrong ones, in [0, 1].
        poison_fraction: part of the training images that bear the trigger and the label ``target_class``; None (no
            backdoor in question) differs from 0 (the clean twin) in that the trigger is not tried.
        target_class: the class that the trigger stands for.
        sparsity: part of the weights that is zero from the start on, the smallest; in [0, 1).

    Raises ValueError for a value out of range, with the choices.

    >>> MemberSettings(seed=1, optimiser="sgd", lr=0.1).betas
    (0.9, 0.999)
    """

    seed: int
    activation: str | None = None
    init: str = "default"
    init_scale: float = 1.0
    optimiser: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = MOMENTUM
    betas: tuple[float, float] = (0.9, 0.999)
    dropout: float | None = None
    train_fraction: float = 1.0
    image: int | None = None
    schedule: str = "constant"
    step_size: int | None = None
    gamma: float = GAMMA
    target_psnr: float | None = None
    label_noise: float = 0.0
    poison_fraction: float | None = None
    target_class: int = 0
    sparsity: float = 0.0

    def __post_init__(self) -> None:
        _choice("optimiser", self.optimiser, OPTIMISERS)
        _choice("init", self.init, INITS)
        _choice("schedule", self.schedule, SCHEDULES)
        object.__setattr__(self, "betas", tuple(self.betas))
        for name in ("lr", "weight_decay", "init_scale", "gamma", "target_class"):
            _range(name, getattr(self, name), "at least 0", getattr(self, name) >= 0)
        for name in ("momentum", "dropout", "sparsity"):
            _range(name, getattr(self, name), "in [0, 1)", 0 <= (getattr(self, name) or 0) < 1)
        for name in ("label_noise", "poison_fraction"):
            _range(name, getattr(self, name), "in [0, 1]", 0 <= (getattr(self, name) or 0) <= 1)
        check_kind(self.image, self.target_psnr, self.label_noise, self.poison_fraction)
        if self.step_size is not None:
            _range("step_size", self.step_size, "at least 1", self.step_size >= 1)
        _range(
            "betas", self.betas, "two numbers in [0, 1)", len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas)
        )
        _range("train_fraction", self.train_fraction, "in (0, 1]", 0 < self.train_fraction <= 1)

    @classmethod
    def from_dict(cls, member: Mapping[str, Any]) -> MemberSettings:
        """The settings in a member's row; keys that are no setting belong to others and are passed over."""
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in member.items() if name in known})

    def stream(self, purpose: str) -> int:
        """The seed of one of the member's independent random streams."""
        return int.from_bytes(hashlib.sha256(f"{self.seed}/{purpose}".encode()).digest()[:7], "big")


def check_kind(image: int | None, target_psnr: float | None, label_noise: float, poison_fraction: float | None) -> None:
    """Raise ValueError for what image networks alone have, or classifiers alone."""
    if image is None and target_psnr is not None:
        raise ValueError(
            f"target_psnr {target_psnr} is for image networks, and a classifier has no PSNR; take it out, or set image"
        )
    if image is not None and (label_noise or poison_fraction is not None):
        raise ValueError(
            f"label_noise and poison_fraction are for classifiers, got {label_noise} and {poison_fraction} for the one "
            f"of image {image}, which has no labels; set them under the recipes of classifiers"
        )


def _choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r}; choose one of {', '.join(choices)}")


def _range(what: str, value: Any, expected: str, holds: bool) -> None:
    if not holds:
        raise ValueError(f"{what} must be {expected}, got {value!r}")
