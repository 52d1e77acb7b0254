"""Images shifted or mirrored at random."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad


def shift(x: Tensor, generator: torch.Generator) -> Tensor:
    """Every image moved by up to an eighth of its side, what enters filled with its smallest number.

    Shapes: ``[B, channels, height, width]`` -> the same.
    """
    count, _, height, width = x.shape
    margin = max(1, height // 8)
    wide = pad(x, (margin,) * 4, value=float(x.min()))
    top, left = torch.randint(2 * margin + 1, (2, count), generator=generator)
    rows, columns = (top[:, None] + torch.arange(height), left[:, None] + torch.arange(width))
    return wide[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def mirror(x: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images, left and right exchanged."""
    chosen = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(chosen[:, None, None, None], x.flip(-1), x)


AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "none": lambda x, _: x,
    "shift": shift,
    "shift-mirror": lambda x, generator: mirror(shift(x, generator), generator),
}
