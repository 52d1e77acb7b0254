"""Text as windows of tokens, for language models."""

from __future__ import annotations

import glob
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.sources import TEST_FRACTION, Dataset, limited_rows

VOCABULARY = 256
CONTEXT = 32


def load_text(
    source: str = "text", context: int = CONTEXT, stride: int | None = None, limit: int | None = None
) -> Dataset:
    """A text as windows of tokens, each with the tokens one place further: what a language model learns to tell.

    A token is a byte of the text in UTF-8. So no text holds an unknown token, all texts have one vocabulary, networks
    of different texts have the same shape, and their losses, in nats a byte, compare. Line ends are ``\\n``.

    Args:
        source: "text", the descriptions that scikit-learn ships with its data sets, in alphabetical order (43 kB of
            English, nothing to download); or ``text:`` and a file, or a pattern such as ``text:books/*.txt``, whose
            files are joined in the order of their names.
        context: tokens in a window.
        stride: tokens from the start of one training window to the next; by default ``context``, so that none is seen
            twice in an epoch. Windows for testing never overlap.
        limit: at most this many training and this many test windows, a fixed random choice.

    Shapes: train_x, train_y, test_x, test_y ``[N, context]`` int64. The last fifth of the text is for testing.

    Raises ValueError for files that are missing, empty, too short for a window or not UTF-8.

    >>> data = load_text("text", context=16)
    >>> bytes(data.train_x[0].tolist()), bytes(data.train_y[0].tolist())
    (b'.. _breast_cance', b'. _breast_cancer')
    """
    text = _built_in() if source == "text" else _read(source.removeprefix("text:"))
    tokens = np.frombuffer(text.encode(), dtype=np.uint8)
    held_out = round(TEST_FRACTION * len(tokens))
    if held_out <= context:
        raise ValueError(
            f"data {source}: expected more than {context} bytes in the last fifth of the text, for a window of "
            f"context {context} and the byte after it, got {held_out} of {len(tokens)}; give more text, or set a "
            "smaller context"
        )
    train_x, train_y = _windows(tokens[:-held_out], context, stride or context, limit)
    test_x, test_y = _windows(tokens[-held_out:], context, context, limit)
    return Dataset(train_x, train_y, test_x, test_y, num_classes=VOCABULARY, name=source)


def _windows(tokens: np.ndarray, context: int, stride: int, limit: int | None) -> tuple[Tensor, Tensor]:
    """Windows ``[N, context]`` and the same one token further."""
    starts = np.arange(0, len(tokens) - context, stride)
    places = starts[limited_rows(len(starts), limit), None] + np.arange(context)
    # Bytes until they are chosen: int64 takes eight times the memory.
    return torch.from_numpy(tokens[places]).long(), torch.from_numpy(tokens[places + 1]).long()


def _built_in() -> str:
    """scikit-learn's descriptions of its data sets."""
    documents = [entry for entry in resources.files("sklearn.datasets.descr").iterdir() if entry.name.endswith(".rst")]
    return "".join(_decode(entry.name, entry.read_bytes()) for entry in sorted(documents, key=lambda entry: entry.name))


def _read(pattern: str) -> str:
    """The text of a file, or of all files of a pattern one after the other."""
    path = Path(pattern).expanduser()
    if path.is_dir():
        raise ValueError(
            f"data text:{pattern}: expected a file, got a folder; write text:{path / '*.txt'} for its files"
        )
    names = [str(path)] if path.exists() else sorted(glob.glob(str(path), recursive=True))
    files = [Path(name) for name in names if Path(name).is_file()]
    if not files:
        raise ValueError(
            f"data text:{pattern}: there is no such file in {Path.cwd()}; give the path of a UTF-8 text file, a "
            "pattern such as text:books/*.txt, or text alone for a built-in text"
        )
    return "".join(_text(file) for file in files)


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"expected a text file, but {file} cannot be read: {error.strerror}") from error
    text = _decode(str(file), content)
    if not text.strip():
        raise ValueError(f"expected a text in {file}, but it is empty; give a file with text, or take it away")
    return text


def _decode(name: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"expected UTF-8 text in {name}, got byte {content[error.start]:#04x} at {error.start}; save it as UTF-8, "
            f"such as by: iconv -f latin1 -t utf-8 {name}"
        ) from error
    return text.replace("\r\n", "\n")
