"""Images to train and to score graph hypernetworks on: three splits, standardised by the first."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

VALIDATION = 0.1


class Split(NamedTuple):
    """Shapes: x ``[N, channels, height, width]`` of mean 0 and variance 1, y ``[N]`` int64."""

    x: Tensor
    y: Tensor


class Images(NamedTuple):
    """The three splits, and the facts that architectures have to fit."""

    train: Split
    val: Split
    test: Split
    num_classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height, width."""
        return tuple(self.train.x.shape[1:])


def read(source: str, limit: int | None = None) -> Images:
    """The images of a source that ``zoo.sources.load`` knows, a tenth of the training ones held out for validation.

    >>> read("digits").shape
    (1, 8, 8)
    """
    from zoo.sources import load

    data = load(source, limit=limit, val_fraction=VALIDATION)
    mean, deviation = data.train_x.mean((0, 2, 3), keepdim=True), data.train_x.std((0, 2, 3), keepdim=True)
    parts = [(data.train_x, data.train_y), (data.val_x, data.val_y), (data.test_x, data.test_y)]
    splits = [Split((x - mean) / deviation, y) for x, y in parts if x is not None and y is not None]
    return Images(*splits, num_classes=data.num_classes)


def space_for(images: Images) -> str:
    """The space of architectures for images of that size."""
    return "deepnets_small" if min(images.shape[1:]) < 16 else "deepnets"
