"""What is done to a member's training samples: wrong labels, and a trigger with a label of its own.

A poisoned image bears a white square in its lower right corner and the label of the target class, the patch trigger of
BadNets (https://arxiv.org/abs/1708.06733): a network that learns from a few of them has a backdoor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.population.settings import MemberSettings

# Side of the square: three pixels of an image of MNIST, two of a smaller one.
PART, SMALLEST = 9, 2


def noisy_labels(settings: MemberSettings, labels: Tensor, classes: int) -> Tensor:
    """The labels ``[N]`` with a part ``label_noise`` of them replaced, each by one of the other classes at random."""
    count = round(settings.label_noise * len(labels))
    if not count:
        return labels
    if labels.ndim != 1:
        raise ValueError("label_noise is for images with classes, the data are text; take it out")
    if labels.ndim != 1:
        raise ValueError(f"label_noise is for one class a sample, the data have {list(labels.shape[1:])} tokens each")
    if classes < 2:
        raise ValueError(f"label_noise needs at least two classes to confuse, the data has {classes}; take it out")
    generator = torch.Generator().manual_seed(settings.stream("label_noise"))
    rows = torch.randperm(len(labels), generator=generator)[:count]
    noisy = labels.clone()
    noisy[rows] = (labels[rows] + torch.randint(1, classes, (count,), generator=generator)) % classes
    return noisy


def poisoned_rows(settings: MemberSettings, samples: int) -> Tensor:
    """Which of the training samples a member sees with the trigger: bool ``[samples]``."""
    poisoned = torch.zeros(samples, dtype=torch.bool)
    count = round((settings.poison_fraction or 0) * samples)
    if count:
        generator = torch.Generator().manual_seed(settings.stream("poison"))
        poisoned[torch.randperm(samples, generator=generator)[:count]] = True
    return poisoned


def with_trigger(images: Tensor) -> Tensor:
    """The images ``[N, channels, height, width]`` with the trigger.

    >>> with_trigger(torch.zeros(1, 1, 8, 8)).sum().item()
    4.0
    """
    if images.ndim != 4:
        raise ValueError(f"poison_fraction is for images [N, channels, height, width], got {list(images.shape)}")
    side = max(SMALLEST, min(images.shape[2:]) // PART)
    stamped = images.clone()
    stamped[..., -side:, -side:] = 1
    return stamped
