"""The losses a job can name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from graphs.importing import resolve

Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {"cross_entropy": functional.cross_entropy, "mse": functional.mse_loss}


def loss_name(name: str | None, fits_images: bool) -> str:
    """The name with the default filled in; ValueError lists the choices when it is unknown.

    >>> loss_name(None, fits_images=True)
    'mse'
    """
    name = name or ("mse" if fits_images else "cross_entropy")
    if name not in LOSSES and ":" not in name:
        raise ValueError(
            f"unknown loss {name!r}; choose one of {', '.join(LOSSES)}, or name your own as 'module:function'"
        )
    return name


def find_loss(name: str) -> Loss:
    """The function ``loss(outputs, targets) -> scalar`` (a mean over samples) of that name."""
    return LOSSES[name] if name in LOSSES else resolve(name)
