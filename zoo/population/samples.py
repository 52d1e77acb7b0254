"""The samples a member trains on, and those it is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo.population.poisoning import noisy_labels, with_trigger
from zoo.population.settings import MemberSettings
from zoo.sources import Dataset, coordinates, pixels

if TYPE_CHECKING:
    from zoo.population.job import TrainingJob


@dataclass(frozen=True)
class Part:
    """Samples to measure a network on: ``rows [n]`` of inputs ``x [N, ...]``, their targets ``y [n, ...]``."""

    x: Tensor
    rows: Tensor
    y: Tensor

    @property
    def is_text(self) -> bool:
        """Whether the inputs are tokens."""
        return not self.x.is_floating_point()

    @classmethod
    def whole(cls, x: Tensor, y: Tensor) -> Part:
        return cls(x, torch.arange(len(x)), y)


@dataclass(frozen=True)
class Samples:
    """What one member sees.

    Args:
        train_x: ``[N, ...]``, tokens as whole numbers; with poison ``[2 N, ...]``: below every sample its copy with the
            trigger.
        train_y: its targets, classes ``[N]``, pixels ``[N, channels]`` or tokens ``[N, context]``; as many as
            ``train_x``.
        held_out: the parts without training samples, by name: val, test, trigger (test images that bear it); or image.
        count: N.
        num_classes: classes of the data; 0 for an image network.
    """

    train_x: Tensor
    train_y: Tensor
    held_out: Mapping[str, Part]
    count: int
    num_classes: int = 0

    def parts(self, chosen: Tensor) -> dict[str, Part]:
        """All that the member is measured on; ``chosen [n]`` are the training samples that it sees."""
        if "image" in self.held_out:
            return dict(self.held_out)
        return {"train": Part(self.train_x, chosen, self.train_y[chosen]), **self.held_out}


class JobSamples:
    """The samples of the members of one job, each tensor made once.

    Args:
        job: whose members.
        data: the data set.
        dtype: of inputs and pixels.

    Raises ValueError for an image, a class or a trigger that the data do not have.
    """

    def __init__(self, job: TrainingJob, data: Dataset, dtype: torch.dtype):
        self.data, self.dtype, self.tries_trigger = data, dtype, job.tries_trigger

    def of(self, settings: MemberSettings) -> Samples:
        """The samples of a member: the whole data set, or the pixels of its image."""
        if settings.image is not None:
            return self._image(settings.image)
        data = self.data
        y = noisy_labels(settings, data.train_y, data.num_classes)
        held_out = {"test": Part.whole(self._test_x, data.test_y)}
        if data.val_x is not None and data.val_y is not None:
            held_out = {"val": Part.whole(self._inputs(data.val_x), data.val_y), **held_out}
        if self.tries_trigger:
            target = self._target_class(settings)
            y = torch.cat([y, torch.full_like(y, target)])
            rows = (data.test_y != target).nonzero()[:, 0]
            held_out |= {"trigger": Part(self._trigger_x, rows, torch.full_like(rows, target))}
        return Samples(self._train_x, y, held_out, len(data.train_x), data.num_classes)

    def _image(self, image: int) -> Samples:
        images = self.data.train_x
        if not 0 <= image < len(images):
            raise ValueError(f"image must be between 0 and {len(images) - 1}, got {image}")
        x, y = coordinates(*images.shape[2:]).to(self.dtype), pixels(images[image]).to(self.dtype)
        return Samples(x, y, {"image": Part.whole(x, y)}, len(x))

    def _inputs(self, x: Tensor) -> Tensor:
        """Images in the dtype of the weights, tokens as they are."""
        return x.to(self.dtype) if x.is_floating_point() else x

    def _target_class(self, settings: MemberSettings) -> int:
        if settings.target_class >= self.data.num_classes:
            raise ValueError(
                f"target_class must be below {self.data.num_classes}, the classes of the data, "
                f"got {settings.target_class}"
            )
        return settings.target_class

    @cached_property
    def _train_x(self) -> Tensor:
        images = self._inputs(self.data.train_x)
        return torch.cat([images, with_trigger(images)]) if self.tries_trigger else images

    @cached_property
    def _test_x(self) -> Tensor:
        return self._inputs(self.data.test_x)

    @cached_property
    def _trigger_x(self) -> Tensor:
        return with_trigger(self._test_x)


@torch.no_grad()
def check_network(module: nn.Module, recipe: Mapping[str, Any], samples: Samples, loss: str) -> None:
    """Raise ValueError when the network does not take the samples, or has no output for each target."""
    x, name = samples.train_x[:2], recipe["factory"]
    was_training = module.training
    module.eval()
    try:
        shape = tuple(module(x).shape)
    except (RuntimeError, IndexError) as error:
        raise ValueError(
            f"the network {name!r} does not take inputs of shape {list(x.shape[1:])}: {error}; "
            f"change its arguments, now {dict(recipe.get('arguments') or {})}"
        ) from error
    module.train(was_training)
    targets = tuple(samples.train_y.shape[1:])
    fits = len(shape) == len(targets) + 2 and shape[1:-1] == targets and shape[-1] >= samples.num_classes
    if loss == "cross_entropy" and not fits:
        has, hint = f"{samples.num_classes} classes", "set outputs"
        if targets:
            has, hint = f"{targets[0]} tokens out of {samples.num_classes} to tell", "leave context and vocabulary out"
        raise ValueError(f"the data has {has}, the network {name!r} {list(shape[1:])} outputs; {hint}")
    if loss == "mse" and shape[1:] != targets:
        raise ValueError(f"the targets have shape {list(targets)}, the outputs of {name!r} {list(shape[1:])}")
