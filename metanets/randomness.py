"""The state of every global random generator, as tensors."""

from __future__ import annotations

import random

import numpy
import torch
from torch import Tensor


def capture() -> dict[str, Tensor]:
    """The states of Python's, numpy's and torch's global generators (every CUDA device included)."""
    _, words, pending = random.getstate()
    # Old code draws from numpy's global generator, so it is part of an exact resume.
    _, keys, position, has_gauss, gauss = numpy.random.get_state(legacy=True)  # noqa: NPY002
    states = {
        "python": torch.tensor(words),
        "python_pending": torch.tensor([] if pending is None else [pending], dtype=torch.float64),
        "numpy": torch.from_numpy(numpy.asarray(keys).astype("int64")),
        "numpy_rest": torch.tensor([position, has_gauss, gauss], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states |= {f"cuda{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def restore(states: dict[str, Tensor]) -> None:
    """Put every generator back to what ``capture`` saw; a CUDA device that is not here is left out."""
    pending = states["python_pending"].tolist()
    random.setstate((3, tuple(states["python"].tolist()), pending[0] if pending else None))
    position, has_gauss, gauss = states["numpy_rest"].tolist()
    keys = states["numpy"].numpy().astype("uint32")
    numpy.random.set_state(("MT19937", keys, int(position), int(has_gauss), gauss))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda{index}" in states:
            torch.cuda.set_rng_state(states[f"cuda{index}"], index)
