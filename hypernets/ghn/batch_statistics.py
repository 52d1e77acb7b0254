"""Statistics of batch norms under predicted parameters: estimated on data, or those of every batch.

A prediction holds no running statistics: they depend on data that a hypernetwork does not see.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from graphs.execution.unchanged import attributes_unchanged


def norms_with_statistics(module: nn.Module) -> list[_NormBase]:
    """The batch and instance norms that keep running statistics."""
    return [m for m in module.modules() if isinstance(m, _NormBase) and m.running_mean is not None]


def use_batch_statistics(module: nn.Module) -> nn.Module:
    """Let every batch norm normalise by the batch it is given, in evaluation mode too; returns the module.

    Their running statistics are taken away, in place, so load weights first. GHN-2 is trained and evaluated this way
    (https://arxiv.org/abs/2110.13100, section 3.1).

    >>> net = use_batch_statistics(nn.BatchNorm1d(2).eval())
    >>> net(torch.tensor([[1.0, 5.0], [3.0, 9.0]])).mean(0).abs().max().item() < 1e-6
    True
    """
    for norm in norms_with_statistics(module):
        norm.track_running_stats = False
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    return module


def normalise_by_batch(module: nn.Module) -> None:
    """As :func:`use_batch_statistics`, but the running statistics stay where they are, read only where a batch has one
    value a channel, which has no variance; undone by putting back the attributes and hooks."""
    for norm in norms_with_statistics(module):
        norm.track_running_stats = False
        norm.register_forward_pre_hook(_train_on_several, with_kwargs=True)


def _train_on_several(norm: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
    x = args[0] if args else kwargs["input"]
    norm.training = x.numel() > x.shape[1]


def estimate_statistics(module: nn.Module, weights: dict[str, Tensor], batches: Iterable[Any]) -> int:
    """Write into ``weights`` the mean statistics of batch norms over the batches; returns how many batches there were.

    Args:
        module: it is not changed.
        weights: its state_dict; the running statistics in it are written in place.
        batches: inputs of the module: a tensor, or a tuple of its arguments; of a data loader's pair (inputs, labels)
            give the inputs alone.
    """
    count = 0
    with attributes_unchanged(module), torch.no_grad():
        module.eval()
        for norm in norms_with_statistics(module):
            norm.train()
            # None: the mean over all batches.
            norm.momentum = None
        for entry in _counters(weights, module):
            entry.zero_()
        for batch in batches:
            torch.func.functional_call(module, weights, batch if isinstance(batch, tuple) else (batch,))
            count += 1
    return count


def _counters(weights: dict[str, Tensor], module: nn.Module) -> list[Tensor]:
    names = [n for n, m in module.named_modules() if isinstance(m, _NormBase) and m.num_batches_tracked is not None]
    return [weights[f"{n}.num_batches_tracked" if n else "num_batches_tracked"] for n in names]
