"""What is measured of a member at a kept state.

| part | metrics |
|---|---|
| train (the samples that the member sees, with the labels that it sees) | train_loss, train_accuracy |
| val, test | the same, and NAME_ece, NAME_class_accuracy ``[classes]`` |
| trigger (test images of other classes that bear the trigger) | trigger_success: the part taken for the target class |
| image (all pixels of an image network) | loss, psnr (dB) |
| train, val, test of a text | NAME_loss, NAME_accuracy of the next token: ``zoo.population.text_metrics`` |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional

from zoo.population.losses import Loss
from zoo.population.samples import Part
from zoo.population.settings import MemberSettings

# Bins of confidence of the calibration error.
BINS = 15

Metrics = dict[str, Any]


def member_metrics(loss: Loss, outputs: Mapping[str, Tensor], parts: Mapping[str, Part]) -> Metrics:
    """The metrics of the outputs on all parts, which have the same names; a number each, or an array ``[classes]``."""
    found: Metrics = {}
    for name, part in parts.items():
        found |= MEASURES[name](name, loss, outputs[name], part.y)
    return found


def reached(settings: MemberSettings, metrics: Metrics) -> bool:
    """Whether an image network is as good as it shall be, so that its training ends."""
    return settings.target_psnr is not None and metrics["psnr"] >= settings.target_psnr


def class_metrics(part: str, loss: Loss, outputs: Tensor, targets: Tensor) -> Metrics:
    """Loss and accuracy over samples. Shapes: outputs ``[N, classes]``, targets ``[N]``."""
    accuracy = (outputs.argmax(-1) == targets).double().mean()
    return {f"{part}_loss": float(loss(outputs, targets)), f"{part}_accuracy": float(accuracy)}


def held_out_metrics(part: str, loss: Loss, outputs: Tensor, targets: Tensor) -> Metrics:
    """Beside loss and accuracy the calibration error and the accuracy on each class."""
    return class_metrics(part, loss, outputs, targets) | {
        f"{part}_ece": calibration_error(outputs, targets),
        f"{part}_class_accuracy": class_accuracy(outputs, targets),
    }


def calibration_error(outputs: Tensor, targets: Tensor) -> float:
    """The expected calibration error: over 15 bins of confidence, sum |B|/N |accuracy(B) - confidence(B)|.

    Shapes: outputs ``[N, classes]`` (logits), targets ``[N]``. https://arxiv.org/abs/1706.04599, equation 3.

    >>> import torch
    >>> calibration_error(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    0.0
    """
    confidence, guess = outputs.double().softmax(-1).max(-1)
    right = (guess == targets).double()
    # Bins are open below and closed above.
    bins = (confidence * BINS).ceil().clamp(1, BINS).nan_to_num(1).long() - 1
    gaps = (right - confidence).new_zeros(BINS).index_add_(0, bins, right - confidence)
    return float(gaps.abs().sum() / len(targets))


def class_accuracy(outputs: Tensor, targets: Tensor) -> np.ndarray:
    """The accuracy on the samples of each class ``[classes]``, NaN for a class without samples.

    Shapes: outputs ``[N, classes]``, targets ``[N]``.

    >>> import torch
    >>> class_accuracy(torch.eye(3)[[0, 1, 1]], torch.tensor([0, 1, 0])).tolist()
    [0.5, 1.0, nan]
    """
    right = targets[outputs.argmax(-1) == targets]
    total, found = (rows.bincount(minlength=outputs.shape[-1]).double() for rows in (targets, right))
    return (found / total).numpy()


def trigger_metrics(part: str, loss: Loss, outputs: Tensor, targets: Tensor) -> Metrics:
    """How often the trigger works. Shapes: outputs ``[N, classes]``, targets ``[N]``, all the target class."""
    return {"trigger_success": class_metrics(part, loss, outputs, targets)["trigger_accuracy"]}


def image_metrics(part: str, loss: Loss, outputs: Tensor, targets: Tensor) -> Metrics:
    """Loss and PSNR of an image network. Shapes: ``[pixels, channels]`` twice."""
    return {"loss": float(loss(outputs, targets)), "psnr": psnr(functional.mse_loss(outputs, targets).item())}


MEASURES: dict[str, Callable[[str, Loss, Tensor, Tensor], Metrics]] = {
    "train": class_metrics,
    "val": held_out_metrics,
    "test": held_out_metrics,
    "trigger": trigger_metrics,
    "image": image_metrics,
}


def stacked_metrics(members: list[list[Metrics]]) -> dict[str, np.ndarray]:
    """The metrics of E members at T states each as arrays ``[T, E]`` or ``[T, E, classes]``."""
    names = members[0][0]
    return {name: np.array([[m[name] for m in member] for member in members]).swapaxes(0, 1).copy() for name in names}


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in dB, for pixels in [0, 1]; infinite for a perfect fit.

    >>> psnr(0.01)
    20.0
    """
    return -10 * math.log10(mse) if 0 < mse < math.inf else (math.inf if mse == 0 else math.nan)
