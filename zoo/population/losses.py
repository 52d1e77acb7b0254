"""The losses a job can name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphs.importing import resolve

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean over samples, or over all tokens of all windows.

    Shapes: outputs ``[B, classes]`` with targets ``[B]``, or ``[B, tokens, classes]`` with ``[B, tokens]``.

    >>> float(cross_entropy(torch.zeros(2, 3, 1), torch.zeros(2, 3, dtype=torch.long)))
    0.0
    """
    return functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "mse": functional.mse_loss}


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


@torch.no_grad()
def check_loss(name: str, module: nn.Module, x: Tensor, y: Tensor) -> None:
    """Raise ValueError unless the loss of the network on these samples is one number."""
    was_training = module.training
    value = find_loss(name)(module.eval()(x), y)
    module.train(was_training)
    if not isinstance(value, Tensor) or value.ndim != 0:
        got = f"shape {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise ValueError(f"the loss {name!r} has to return a scalar tensor, got {got}; return the mean over samples")
