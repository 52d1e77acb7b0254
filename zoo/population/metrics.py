"""What is measured of a member at a kept epoch."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from zoo.population.losses import Loss


def class_metrics(split: str, loss: Loss, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Loss and accuracy over samples. Shapes: outputs ``[N, classes]``, targets ``[N]``."""
    accuracy = (outputs.argmax(-1) == targets).double().mean()
    return {f"{split}_loss": float(loss(outputs, targets)), f"{split}_accuracy": float(accuracy)}


def image_metrics(loss: Loss, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Loss and PSNR of an image network. Shapes: ``[pixels, channels]`` twice."""
    return {"loss": float(loss(outputs, targets)), "psnr": psnr(functional.mse_loss(outputs, targets).item())}


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in dB, for pixels in [0, 1]; infinite for a perfect fit.

    >>> psnr(0.01)
    20.0
    """
    return -10 * math.log10(mse) if 0 < mse < math.inf else (math.inf if mse == 0 else math.nan)
