"""A start of training from which signals pass: decoded weights near the identity on channels."""

from __future__ import annotations

import torch

from hypernets.ghn.decoders.conv import ConvDecoder
from hypernets.ghn.model import GHN


def start_near_identity(model: GHN, strength: float, seed: int, noise: float = 0.1) -> None:
    """Let the untrained model write weights that keep channels apart: ``strength`` times the identity from in to out
    channels at every position of a kernel, plus what it writes anyhow.

    Channels then mean the same in all architectures from the first step on, so that one classifier serves them all.
    Not in the published method, where it takes thousands of steps to get there.

    Args:
        strength: of the identity, before the factor of the fan-in.
        noise: standard deviation of the numbers around it. seed: of these.

    Raises ValueError for a model whose decoder has no bias of weights.
    """
    decoder = model.decoder
    if not isinstance(decoder, ConvDecoder):
        raise ValueError(
            f"a start near the identity needs the decoder conv or linear, got {model.config['decoder']!r}; "
            "leave out identity"
        )
    out, inputs, *_ = decoder.max_shape
    with torch.no_grad():
        around = torch.randn(out, inputs, generator=torch.Generator().manual_seed(seed))
        decoder.last.bias.copy_((noise * around + strength * torch.eye(out, inputs)).flatten())
