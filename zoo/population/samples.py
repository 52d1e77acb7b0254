"""The samples a member trains on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.population.settings import MemberSettings
from zoo.sources import Dataset, coordinates, pixels


@dataclass(frozen=True)
class Samples:
    """Inputs and targets of one member; for an image network coordinates and pixels of its image, train and test alike.

    Shapes: train_x ``[N, ...]``, train_y ``[N]`` classes or ``[N, channels]``; test_x, test_y the same.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    is_image: bool = False
    num_classes: int = 0


def job_samples(data: Dataset, settings: MemberSettings, dtype: torch.dtype) -> Samples:
    """The samples of a member: the whole data set, or the pixels of its image."""
    if settings.image is None:
        train_x, test_x = data.train_x.to(dtype), data.test_x.to(dtype)
        return Samples(train_x, data.train_y, test_x, data.test_y, num_classes=data.num_classes)
    if not 0 <= settings.image < len(data.train_x):
        raise ValueError(f"image must be between 0 and {len(data.train_x) - 1}, got {settings.image}")
    x, y = coordinates(*data.train_x.shape[2:]).to(dtype), pixels(data.train_x[settings.image]).to(dtype)
    return Samples(x, y, x, y, is_image=True)


@torch.no_grad()
def check_network(module: nn.Module, recipe: Mapping[str, Any], samples: Samples, loss: str) -> None:
    """Raise ValueError when the network does not take the samples, or has no output for each target."""
    x, name = samples.train_x[:2], recipe["factory"]
    was_training = module.training
    module.eval()
    try:
        shape = tuple(module(x).shape)
    except RuntimeError as error:
        raise ValueError(
            f"the network {name!r} does not take inputs of shape {list(x.shape[1:])}: {error}; "
            f"change its arguments, now {dict(recipe.get('arguments') or {})}"
        ) from error
    module.train(was_training)
    if loss == "cross_entropy" and (len(shape) != 2 or shape[1] < samples.num_classes):
        raise ValueError(
            f"the data has {samples.num_classes} classes, the network {name!r} {list(shape[1:])} outputs; set outputs"
        )
    if loss == "mse" and shape[1:] != tuple(samples.train_y.shape[1:]):
        raise ValueError(
            f"the targets have shape {list(samples.train_y.shape[1:])}, the outputs of {name!r} {list(shape[1:])}"
        )
