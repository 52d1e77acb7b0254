"""Networks that run with predicted weights: modules without storage, batch norms on statistics of the batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from graphs import Recipe
from hypernets.ghn.batch_statistics import use_batch_statistics


def storage_free(recipe: Recipe) -> nn.Module:
    """The network of a recipe on the meta device, in evaluation mode but for its batch norms, which have no running
    statistics: a hypernetwork predicts none (https://arxiv.org/abs/2110.13100, section 4).

    Raises ValueError for a network with other buffers, which would have no values.
    """
    with torch.device("meta"):
        module = use_batch_statistics(recipe.build()).eval()
    left = [name for name, _ in module.named_buffers()]
    if left:
        raise ValueError(
            f"the network of {recipe} has a buffer {left[0]!r} without a value, since it is built without storage; "
            "train on networks whose only buffers are those of batch norms"
        )
    return module


def run(module: nn.Module, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """What the network gives for ``x`` with these weights, its own left out.

    Images are laid out channels last, in which convolutions on a CPU take a quarter less time.
    """
    if x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    return torch.func.functional_call(module, dict(weights), (x,))


def logits(module: nn.Module, weights: Mapping[str, Tensor], x: Tensor, batch: int) -> Tensor:
    """``run`` without gradients, ``batch`` images at once (batch norms see so many); a last one alone, whose statistics
    would be its own, goes with those before it."""
    ends = list(range(batch, len(x) - 1, batch))
    with torch.no_grad():
        return torch.cat([run(module, weights, part) for part in x.tensor_split(ends)])
