"""Starts of training that are not the published ones: signals pass, and nodes speak for themselves."""

from __future__ import annotations

import torch

from hypernets.ghn.decoders.conv import ConvDecoder
from hypernets.ghn.gated import GatedPropagation
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


def start_near_nodes(model: GHN, strength: float) -> None:
    """Let nodes at first keep what they say of themselves, and hear of others once that helps: ``strength`` is added to
    the bias of the update gates, as is done for those of an LSTM (https://proceedings.mlr.press/v37/jozefowicz15.html).

    Raises ValueError for a model without gates.
    """
    propagation = model.propagation
    if not isinstance(propagation, GatedPropagation):
        raise ValueError(
            f"a bias of update gates needs the propagation gated, got {model.config['propagation']!r}; "
            "leave out update_bias"
        )
    hidden = model.config["hidden"]
    with torch.no_grad():
        propagation.gru.bias_ih[hidden : 2 * hidden] += strength
