"""A network and example inputs for it, from the words of a command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graphs.recipe import FAMILIES, Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from graphs.execution.probes import Probe

EXAMPLE = "such as --input-shape 1,3,32,32 (or NAME=1,16 for an input given by keyword)"


def network(
    factory: str,
    arguments: str = "{}",
    shapes: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    maxima: Sequence[int] = (),
    device: str = "cpu",
) -> tuple[nn.Module, Probe]:
    """The network of a built-in family or of ``module:factory``, and random inputs of these shapes, always the same.

    Args:
        arguments: keyword arguments of the factory, as JSON.
        shapes: a shape an input, batch included, such as ``"1,3,32,32"``; ``"name=1,16"`` for a keyword input. A
            built-in family needs none.
        dtypes: a torch dtype an input, or one for all; float32, or int64 where there are ``maxima``.
        maxima: whole numbers are drawn below it; one an input, or one for all.
        device: of both; ``meta`` for a network that is to take no memory.

    Raises ValueError for what cannot be read or built.

    >>> network("resnet", '{"widths": [4, 8]}')[1].args[0].shape
    torch.Size([2, 3, 8, 8])
    >>> network("gpt", shapes=["1,5"], maxima=[32])[1].args[0].dtype
    torch.int64
    """
    import torch

    from graphs.execution.probes import Probe

    torch.manual_seed(0)
    recipe = Recipe(factory, _keywords(arguments))
    with torch.device(device):
        module = _built(recipe)
    if not shapes and factory in FAMILIES:
        return module, Probe(tuple(x.to(device) for x in recipe.example_input()), {})
    if not shapes:
        raise ValueError(f"the inputs of {factory!r} are not known; expected a shape for each of them, {EXAMPLE}")
    dtypes = _one_each("--input-dtype", dtypes or ["int64" if maxima else "float32"], shapes)
    maxima = _one_each("--input-max", maxima or [2], shapes)
    generator = torch.Generator().manual_seed(0)
    named: dict[str, Tensor] = {}
    inputs = []
    for text, dtype, largest in zip(shapes, dtypes, maxima, strict=True):
        name, _, numbers = text.rpartition("=")
        tensor = _random(_shape(numbers), _dtype(dtype), largest, generator).to(device)
        if name:
            named[name] = tensor
        else:
            inputs.append(tensor)
    return module, Probe(tuple(inputs), named)


def _keywords(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"expected --kwargs as a JSON object such as '{{\"width\": 16}}', got {text}: {error}"
        ) from None
    if not isinstance(found, dict):
        raise ValueError(f"expected --kwargs as a JSON object such as '{{\"width\": 16}}', got {text}")
    return found


def _built(recipe: Recipe) -> nn.Module:
    try:
        return recipe.build()
    except ValueError:
        raise
    # The factory is the user's: any of its errors is told in one line.
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"{recipe.factory} with {dict(recipe.arguments)} failed: {what}; check --kwargs") from error


def _one_each(option: str, given: Sequence[Any], shapes: Sequence[str]) -> Sequence[Any]:
    if len(given) not in (1, len(shapes)):
        raise ValueError(f"expected {option} once, or once an --input-shape ({len(shapes)}), got {len(given)}")
    return given if len(given) == len(shapes) else [given[0]] * len(shapes)


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(n) for n in text.split(",") if n.strip())
    except ValueError:
        shape = (-1,)
    if min(shape, default=0) < 0:
        raise ValueError(f"expected a shape of whole numbers, {EXAMPLE}, got {text!r}")
    return shape


def _dtype(name: str) -> torch.dtype:
    import torch

    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"expected a torch dtype such as float32, int64 or bool for --input-dtype, got {name!r}")
    return found


def _random(shape: tuple[int, ...], dtype: torch.dtype, largest: int, generator: torch.Generator) -> Tensor:
    """Normal numbers, or whole numbers below ``largest``."""
    import torch

    if largest < 1:
        raise ValueError(f"expected --input-max of at least 1 (whole numbers are drawn below it), got {largest}")
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(shape, generator=generator).to(dtype)
    return torch.randint(largest, shape, generator=generator).to(dtype)
