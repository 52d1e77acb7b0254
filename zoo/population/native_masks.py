"""What dropout keeps, drawn from torch's generator as torch's own layers draw it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from zoo.population.native_build import TRAINER

_P, _LONG = ctypes.c_void_p, ctypes.c_long


def draw_masks(chances: Sequence[float], counts: Sequence[int], steps: int) -> Tensor:
    """Bytes, 1 for what is kept: of each step the masks of each layer, ``[steps * sum(counts)]``.

    Args:
        chances: of a value to be kept, one a layer.
        counts: values of each layer.
        steps: how often all layers are drawn.

    Torch's global CPU generator goes on as if torch had drawn them.
    """
    draw = _draw_compiled if draws_as_torch() else _draw_by_torch
    return draw(chances, counts, steps)


@cache
def draws_as_torch() -> bool:
    """Whether the compiled drawing gives what torch gives here: with MKL on some processors torch has another way."""
    chances, counts = (0.5, 0.9, 0.123), (1001, 7, 640)
    with torch.random.fork_rng(devices=[]):
        found = []
        for draw in (_draw_by_torch, _draw_compiled):
            torch.default_generator.manual_seed(0)
            found.append((draw(chances, counts, 3), torch.get_rng_state()))
    return all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def _draw_by_torch(chances: Sequence[float], counts: Sequence[int], steps: int) -> Tensor:
    kept = torch.empty(steps * sum(counts), dtype=torch.uint8)
    for part, chance in zip(kept.split([*counts] * steps), [*chances] * steps, strict=True):
        part.bernoulli_(chance)
    return kept


def _draw_compiled(chances: Sequence[float], counts: Sequence[int], steps: int) -> Tensor:
    kept, state = torch.empty(steps * sum(counts), dtype=torch.uint8), torch.get_rng_state()
    own_chances, own_counts = np.array(chances, np.float64), np.array(counts, np.int64)
    draw = TRAINER.load().draw_masks
    draw.restype, draw.argtypes = None, [_P, _P, _P, _LONG, _LONG, _P]
    draw(state.data_ptr(), own_chances.ctypes.data, own_counts.ctypes.data, len(own_counts), steps, kept.data_ptr())
    torch.set_rng_state(state)
    return kept
