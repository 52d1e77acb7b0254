"""Image data sets in the formats that Hugging Face datasets reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zoo.sources import Dataset, limited_rows, split_rows

if TYPE_CHECKING:
    import datasets

TEST_SPLITS = ("test", "validation", "valid", "val")


def load_images(
    source: str,
    image_column: str | None = None,
    label_column: str | None = None,
    resize: int | None = None,
    grayscale: bool | None = None,
    labels: bool = True,
    limit: int | None = None,
) -> Dataset:
    """An image data set by hub id, or from a local folder of parquet files or of images in class folders.

    Args:
        source: hub id, or path of a folder.
        image_column: column of the images; found by its type when not given.
        label_column: column of the classes; found by its type when not given.
        resize: side in pixels to which every image is scaled (bilinear); needed when sizes differ.
        grayscale: True for one channel, False for three; by default one if all images have one.
        labels: False for images without classes.
        limit: at most this many images a split.

    Without a test split a fixed random fifth is held out. Raises ValueError for a missing folder or column.
    """
    splits = _open(source)
    features = splits[next(iter(splits))].features
    image = _image_column(features, image_column, source)
    label = _label_column(features, label_column, image, source) if labels else None
    train, test = (part.select(limited_rows(len(part), limit)) for part in _split(splits))
    pictures = [_pictures(part, image) for part in (train, test)]
    if grayscale is None:
        grayscale = all(picture.mode in ("1", "L", "I", "I;16", "F") for part in pictures for picture in part)
    xs = [_stack(part, grayscale, resize, source) for part in pictures]
    ys, classes = _classes([part[label] if label else [0] * len(part) for part in (train, test)], source)
    return Dataset(xs[0], ys[0], xs[1], ys[1], num_classes=classes if label else 0, name=source)


def _open(source: str) -> dict[str, Any]:
    """Splits by name."""
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    path = Path(source).expanduser()
    looks_local = path.exists() or source.startswith((".", "~", "/"))
    if looks_local and not path.is_dir():
        raise ValueError(
            f"there is no data folder {str(path)!r}; give a folder of parquet files or images, or a hub id"
        )
    try:
        found = datasets.load_dataset(str(path) if looks_local else source)
    except (DatasetNotFoundError, FileNotFoundError, ConnectionError) as error:
        if looks_local:
            raise ValueError(f"the data folder {source!r} holds no parquet files or images: {error}") from error
        raise ValueError(
            f"there is neither a folder {source!r} in {Path.cwd()} nor a data set of that name on the Hugging Face hub "
            f"({error}); check the name, the folder and the connection"
        ) from error
    return {str(name): found[name] for name in found}


def _image_column(features: Any, wanted: str | None, source: str) -> str:
    import datasets

    names = [n for n, kind in features.items() if isinstance(kind, datasets.Image) or _is_encoded_image(kind)]
    if wanted is not None and wanted in features:
        return wanted
    if wanted is not None or not names:
        asked = f"no column {wanted!r}" if wanted else "no image column"
        raise ValueError(f"{source!r} has {asked}; its columns are {dict(features)}; name one with image_column")
    return names[0]


def _is_encoded_image(kind: Any) -> bool:
    """Whether it is how parquet files without datasets' own metadata hold an image."""
    return isinstance(kind, dict) and set(kind) == {"bytes", "path"}


def _label_column(features: Any, wanted: str | None, image: str, source: str) -> str:
    import datasets

    if wanted in features:
        return str(wanted)
    rest = {name: kind for name, kind in features.items() if name != image}
    tests = [
        lambda kind: isinstance(kind, datasets.ClassLabel),
        lambda kind: isinstance(kind, datasets.Value) and "int" in kind.dtype,
        lambda kind: isinstance(kind, datasets.Value) and "string" in kind.dtype,
    ]
    found = [name for test in tests for name, kind in rest.items() if test(kind)]
    if wanted is not None or not found:
        asked = f"no column {wanted!r}" if wanted else "no column of classes"
        raise ValueError(
            f"{source!r} has {asked}; its columns are {dict(features)}; name one with label_column, or set labels=False"
        )
    return found[0]


def _split(splits: dict[str, Any]) -> tuple[datasets.Dataset, datasets.Dataset]:
    train = splits.get("train", splits[next(iter(splits))])
    for name in TEST_SPLITS:
        if name in splits and splits[name] is not train:
            return train, splits[name]
    rows, held_out = split_rows(len(train))
    return train.select(rows), train.select(held_out)


def _pictures(part: datasets.Dataset, column: str) -> list[Any]:
    """The decoded images."""
    import datasets

    return list(part.cast_column(column, datasets.Image())[column])


def _stack(pictures: Sequence[Any], grayscale: bool, resize: int | None, source: str) -> Tensor:
    """Images as one tensor ``[N, channels, height, width]`` in [0, 1]."""
    from PIL import Image

    arrays = []
    for picture in pictures:
        picture = picture.convert("L" if grayscale else "RGB")
        if resize is not None:
            picture = picture.resize((resize, resize), Image.Resampling.BILINEAR)
        arrays.append(np.asarray(picture, dtype=np.uint8).reshape(*picture.size[::-1], -1))
    sizes = sorted({array.shape[:2] for array in arrays})
    if len(sizes) != 1:
        raise ValueError(f"{source!r} must hold images of one size, got {sizes[:5]}; set resize, or add images")
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float().div(255).contiguous()


def _classes(columns: Sequence[Sequence[Any]], source: str) -> tuple[list[Tensor], int]:
    """Class numbers of each split, with the number of classes; names are numbered in alphabetical order."""
    names = sorted({value for column in columns for value in column}, key=lambda v: (str(type(v)), v))
    if None in names:
        raise ValueError(f"{source!r} has samples without a class; set labels=False, or remove them")
    if not all(isinstance(name, int) and name >= 0 for name in names):
        number = {name: i for i, name in enumerate(names)}
        columns = [[number[value] for value in column] for column in columns]
    ys = [torch.tensor(list(column), dtype=torch.long) for column in columns]
    return ys, int(max(int(y.max()) for y in ys if len(y))) + 1
