"""A folder of state dicts, with the architecture that made them, as parameter graphs."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from graphs import ParameterGraph, Recipe, trace

SUFFIXES = (".safetensors", ".pt", ".pth")

# What the two readers raise on bytes of another kind; torch's takes text for pickle codes.
_UNREADABLE = (
    SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError, KeyError, IndexError, ValueError, TypeError,
    AttributeError,
)  # fmt: skip


def read_folder(folder: str | Path, recipe: Recipe, input_shape: tuple[int, ...] | None) -> dict[str, ParameterGraph]:
    """The graph of every file in ``folder``, by file name in order.

    Raises ValueError when there is no such file, when one cannot be read without pickle, and when an entry does not
    fit the architecture, is complex, or is not finite (with the file, the entry, what was expected and what found).
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; give the folder that holds the state dicts")
    paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    if not paths:
        raise ValueError(f"{folder} holds no file that ends in {', '.join(SUFFIXES)}; save one state dict a network")
    module = recipe.build()
    expected = module.state_dict()
    inputs = (torch.randn(input_shape),) if input_shape is not None else recipe.example_input()
    topology = trace(module, *inputs)
    return {path.name: topology.bind(fitting(read(path), expected, path)) for path in paths}


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of one file; nothing but tensors is ever unpickled."""
    try:
        loaded = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except _UNREADABLE as error:
        raise ValueError(
            f"{path} cannot be read as a state dict: it is empty, damaged, another kind of file, or holds pickled "
            "objects, which are not loaded; save it as safetensors, or with torch.save(module.state_dict(), path)"
        ) from error
    return _tensors(loaded, path)


def _tensors(loaded: Any, path: Path) -> dict[str, Tensor]:
    # Training scripts often keep the weights under one of these names, beside the optimiser.
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping):
        raise ValueError(f"{path}: expected a state dict (names to tensors), got a {type(loaded).__name__}")
    other = [name for name, value in loaded.items() if not isinstance(value, Tensor)]
    if other:
        raise ValueError(f"{path}: entry {other[0]!r} is a {type(loaded[other[0]]).__name__}, expected a tensor")
    return dict(loaded)


def fitting(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The state in the names, order and dtypes of ``expected``; a ValueError names the first misfit."""
    for name in [*expected, *(name for name in state if name not in expected)]:
        wanted = tuple(expected[name].shape) if name in expected else "no such entry"
        found = tuple(state[name].shape) if name in state else "no such entry"
        if wanted != found:
            raise ValueError(
                f"{path}: entry {name!r} does not fit the architecture: expected {_shape(wanted)}, found "
                f"{_shape(found)}; check --arch and --arch-args against what made this file"
            )
    return {name: _cast(state[name], tensor, f"{path}: entry {name!r}") for name, tensor in expected.items()}


def _cast(found: Tensor, expected: Tensor, where: str) -> Tensor:
    """``found`` in the dtype of ``expected``; a ValueError where that would drop or hide something."""
    if found.is_complex() and not expected.is_complex():
        raise ValueError(f"{where} is complex ({found.dtype}), expected {expected.dtype}; save the real weights")
    cast = found.to(expected.dtype)
    # Masks hold -inf from the start.
    wrong = ~torch.isfinite(cast) & torch.isfinite(expected)
    if wrong.any():
        raise ValueError(
            f"{where} holds {int(wrong.sum())} numbers that are not finite in {expected.dtype}, of {cast.numel()}; "
            "the network diverged or the file is damaged: leave it out"
        )
    return cast


def _shape(shape: tuple[int, ...] | str) -> str:
    return shape if isinstance(shape, str) else f"shape {shape}"
