"""Data sets to train on, by name."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

TEST_FRACTION = 0.2


@dataclass(frozen=True)
class Dataset:
    """Images in [0, 1] with their classes, or windows of tokens with the tokens that follow.

    Shapes: images train_x, test_x, val_x ``[N, channels, height, width]`` float32, train_y, test_y, val_y ``[N]``
    int64; tokens all ``[N, context]`` int64, each below num_classes. val_x and val_y are None where no part is held out
    for validation.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    num_classes: int
    name: str
    val_x: Tensor | None = None
    val_y: Tensor | None = None

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of all arrays with their shapes: equal data, equal fingerprint."""
        digest = hashlib.sha256()
        for tensor in (self.train_x, self.train_y, self.test_x, self.test_y, self.val_x, self.val_y):
            if tensor is None:
                continue
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def vocabulary(self) -> int | None:
        """Number of tokens; None for images."""
        return None if self.train_x.is_floating_point() else self.num_classes

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Channels, height, width."""
        return tuple(self.train_x.shape[1:])


def load(
    source: str = "digits", limit: int | None = None, val_fraction: float | None = None, **options: Any
) -> Dataset:
    """A data set by name.

    Args:
        source: "digits" (scikit-learn's, 1797 images of 8x8, nothing to download), ``hf:<id or folder>`` (an image data
            set of the Hugging Face hub), the path of a local folder (parquet files, or images in class folders),
            ``text:<file or pattern>`` (UTF-8 text as tokens), or "text" (a built-in text, nothing to download).
        limit: at most this many training and this many test images or windows, a fixed random choice.
        val_fraction: part of the training images, in (0, 1), that is held out for validation, a fixed random choice; of
            a text the last windows.
        options: of images from the hub or a folder: ``image_column``, ``label_column``, ``resize`` (pixels),
            ``grayscale``, ``labels`` (False: images without classes, for image networks); see
            ``zoo.huggingface.load_images``. Of text: ``context`` and ``stride`` (tokens); see ``zoo.texts.load_text``.

    Raises ValueError for an unknown source or option (the choices are listed), a missing folder or a missing column.

    >>> load("digits").train_x.shape
    torch.Size([1438, 1, 8, 8])
    """
    for name, value in (("limit", limit), *((name, options.get(name)) for name in ("resize", "context", "stride"))):
        _check_count(name, value)
    data = _load(source, limit, options)
    return data if val_fraction is None else hold_out(data, val_fraction)


def _load(source: str, limit: int | None, options: dict[str, Any]) -> Dataset:
    if source == "digits":
        if options:
            raise ValueError(f"the source 'digits' takes no options but limit and val_fraction, got {sorted(options)}")
        return _digits(limit)
    reader = _reader(source)
    choices = [name for name in inspect.signature(reader).parameters if name != "source"]
    for name in options:
        if name not in choices:
            raise ValueError(f"data {source}: unknown option {name!r}; expected one of {', '.join(choices)}")
    return reader(source.removeprefix("hf:"), limit=limit, **options)


def _reader(source: str) -> Callable[..., Dataset]:
    """The function that reads a source of text or of images."""
    if source == "text" or source.startswith("text:"):
        from zoo.texts import load_text

        return load_text
    if source.startswith("hf:") or _looks_like_path(source):
        from zoo.huggingface import load_images

        return load_images
    raise ValueError(
        f"unknown data source {source!r}; choose 'digits', 'text', 'text:<file>', 'hf:<id of an image data set>' "
        "such as 'hf:ylecun/mnist', or the path of a folder of parquet files or images"
    )


def hold_out(data: Dataset, fraction: float) -> Dataset:
    """The data with a part of the training samples held out for validation, a fixed random choice, or the last windows
    of a text.

    >>> data = load("digits", limit=100, val_fraction=0.2)
    >>> len(data.train_x), len(data.val_x)
    (80, 20)
    """
    count = len(data.train_x)
    held = round(fraction * count) if isinstance(fraction, (int, float)) else 0
    if not 0 < held < count:
        raise ValueError(
            f"val_fraction must hold out some of {count} training samples and leave some, got {fraction!r}"
        )
    # Windows of a text at random would lie between those that are trained on, and may overlap them.
    order = np.random.RandomState(0).permutation(count) if data.vocabulary is None else np.arange(count)[::-1]
    val, train = np.sort(order[:held]), np.sort(order[held:])
    return replace(
        data, train_x=data.train_x[train], train_y=data.train_y[train], val_x=data.train_x[val], val_y=data.train_y[val]
    )


def coordinates(height: int, width: int) -> Tensor:
    """Row and column of every pixel, ``[height * width, 2]`` in [-1, 1], row-major.

    >>> coordinates(1, 3).tolist()
    [[0.0, -1.0], [0.0, 0.0], [0.0, 1.0]]
    """
    rows, columns = (torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1) for n in (height, width))
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)


def pixels(image: Tensor) -> Tensor:
    """The targets of ``coordinates``: ``[channels, height, width]`` -> ``[height * width, channels]``."""
    return image.flatten(1).T.contiguous()


def split_rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """A fixed random split of row numbers: training rows, test rows."""
    # RandomState is frozen: the same rows with every version of numpy.
    order = np.random.RandomState(0).permutation(count)
    tests = round(TEST_FRACTION * count)
    return np.sort(order[tests:]), np.sort(order[:tests])


def limited_rows(count: int, limit: int | None) -> np.ndarray:
    """All row numbers, or a fixed random choice of ``limit`` of them."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    return np.sort(np.random.RandomState(0).permutation(count)[:limit])


def _check_count(name: str, value: Any) -> None:
    """Raise ValueError unless the option is left out or a whole number above 0."""
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, got {value!r}; leave it out for none")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}; leave it out for none")


def _digits(limit: int | None) -> Dataset:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(images).float().div(16).view(-1, 1, 8, 8)
    y = torch.from_numpy(labels).long()
    train, test = (rows[limited_rows(len(rows), limit)] for rows in split_rows(len(x)))
    return Dataset(x[train], y[train], x[test], y[test], num_classes=10, name="digits")


def _looks_like_path(source: str) -> bool:
    return Path(source).expanduser().exists() or source.startswith((".", "~", "/")) or "/" in source
