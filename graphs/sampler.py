"""Random architectures: recipes drawn from a named space."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from graphs.deepnets.space import SPLITS, sample
from graphs.recipe import Recipe

Value = TypeVar("Value")

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu")
# Those of the CNN Wild Park, where a layer may have none.
PARK_ACTIVATIONS = ("relu", "gelu", "tanh", "sigmoid", "leaky_relu", "identity")


class Draw:
    """Random choices that are the same on every machine and version.

    Only ``random()`` of Python's generator is promised to stay as it is, so that all else is made of it.
    """

    def __init__(self, seed: str):
        self._random = random.Random(seed).random

    def one(self, choices: Sequence[Value]) -> Value:
        return choices[int(self._random() * len(choices))]

    def many(self, count: int, choices: Sequence[Value]) -> list[Value]:
        return [self.one(choices) for _ in range(count)]

    def between(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self._random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return self._random() < probability


@dataclass(frozen=True)
class Space:
    """A set of architectures.

    Args:
        sample: (draw, input_shape, outputs) -> Recipe.
        axes: what an input's axes are; None for any number of axes.
        input_shape, outputs: those of the architectures where the caller says nothing.
    """

    sample: Callable[[Draw, list[int], int], Recipe]
    axes: tuple[str, ...] | None = ("channels", "height", "width")
    input_shape: tuple[int, ...] = (1, 8, 8)
    outputs: int = 10


def sample_architecture(
    space: str, seed: int, *, input_shape: Sequence[int] | None = None, outputs: int | None = None
) -> Recipe:
    """A random architecture: the same one for the same arguments, in every process and version.

    Args:
        space: one of ``SPACES``. ``mlp``: 1-4 hidden layers of 8-64 neurons; ``cnn``: the ranges of the CNN Wild Park
            (https://arxiv.org/abs/2403.12143), 2-5 convolutions of 4-32 channels, kernels 3, 5 or 7, an activation a
            layer, nearly half of them with skips; ``resnet``: 1-3 stages of 1-2 blocks; ``vit`` and ``gpt``: 1-3
            blocks of 1, 2 or 4 heads; ``deepnets``: DeepNets-1M (https://arxiv.org/abs/2110.13100), 4-18 cells of 1-4
            steps, up to 10^7 parameters, and its splits out of distribution, ``deepnets_wide``, ``_deep``, ``_dense``
            and ``_bnfree``; ``deepnets_small``: the same with 4-10 cells of 8-32 channels, for digits, and its splits.
        seed: which of them.
        input_shape: shape of one input without the batch axis: channels, height, width; any for an mlp; ``(context,)``
            for a gpt. By default (1, 8, 8), (16,) for a gpt, (3, 32, 32) for the large deepnets.
        outputs: number of outputs, the vocabulary of a gpt. By default 10, and 32 for a gpt.

    Every architecture takes the input: no map shrinks to nothing, heads divide the width, patches the image.

    Raises ValueError for an unknown space and for sizes that it cannot have.

    >>> recipe = sample_architecture("cnn", seed=4, input_shape=(3, 32, 32))
    >>> recipe == sample_architecture("cnn", seed=4, input_shape=(3, 32, 32)), recipe.factory
    (True, 'cnn')
    >>> recipe.arguments["channels"], recipe.arguments["kernel"], recipe.arguments["residual"]
    ([16, 16], [7, 3], True)
    """
    if space not in SPACES:
        raise ValueError(f"unknown space {space!r}; choose one of {', '.join(SPACES)}")
    found = SPACES[space]
    shape = _sizes(space, found.axes, found.input_shape if input_shape is None else input_shape)
    outputs = found.outputs if outputs is None else outputs
    if not _is_size(outputs):
        raise ValueError(f"outputs: expected a whole number >= 1, got {outputs!r}")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ValueError(f"seed: expected a whole number, got {seed!r}")
    return found.sample(Draw(f"{space}/{seed}"), shape, outputs)


def _sizes(space: str, axes: tuple[str, ...] | None, shape: Sequence[int]) -> list[int]:
    fits = isinstance(shape, Sequence) and len(shape) == (len(shape) if axes is None else len(axes))
    if not fits or not shape or not all(map(_is_size, shape)):
        wanted = "one or more sizes" if axes is None else ", ".join(axes)
        raise ValueError(f"input_shape of the space {space}: expected {wanted}, each at least 1, got {shape!r}")
    return list(shape)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _mlp(draw: Draw, shape: list[int], outputs: int) -> Recipe:
    inputs = 1
    for size in shape:
        inputs *= size
    hidden = [draw.between(8, 64) for _ in range(draw.between(1, 4))]
    activation = draw.one(ACTIVATIONS)
    return Recipe("mlp", {"inputs": inputs, "hidden": hidden, "outputs": outputs, "activation": activation})


def _cnn(draw: Draw, shape: list[int], outputs: int) -> Recipe:
    """The CNN Wild Park, but that a skip leads over one block and not over any number of them."""
    depth, skips = draw.between(2, 5), draw.chance(0.5)
    channels = [draw.one((4, 8, 16, 32))]
    for width in draw.many(depth - 1, (4, 8, 16, 32)):
        # A block can be added to its input where the width stays.
        channels.append(channels[-1] if skips and draw.chance(0.5) else width)
    return Recipe(
        "cnn",
        {
            "input_shape": shape,
            "channels": channels,
            "kernel": draw.many(depth, (3, 5, 7)),
            "outputs": outputs,
            "activation": draw.many(depth, PARK_ACTIVATIONS),
            "residual": skips and any(a == b for a, b in zip([shape[0], *channels], channels, strict=False)),
        },
    )


def _resnet(draw: Draw, shape: list[int], outputs: int) -> Recipe:
    # Every stage but the first halves the map: no more of them than leave two pixels a side.
    most = max(1, min(3, min(shape[1:]).bit_length() - 1))
    stages, first = draw.between(1, most), draw.one((4, 8, 16))
    widths = [first]
    for growth in draw.many(stages - 1, (1, 2)):
        widths.append(widths[-1] * growth)
    return Recipe(
        "resnet",
        {
            "input_shape": shape,
            "widths": widths,
            "blocks": draw.many(stages, (1, 2)),
            "outputs": outputs,
            "activation": draw.one(ACTIVATIONS),
        },
    )


def _vit(draw: Draw, shape: list[int], outputs: int) -> Recipe:
    return Recipe(
        "vit", {"input_shape": shape, "patch": draw.one(_patches(*shape[1:])), "outputs": outputs, **_blocks(draw)}
    )


def _patches(height: int, width: int) -> list[int]:
    """Sides of a patch that make 4 to 64 tokens of an image, or where there are none, the one that makes fewest."""
    sides = [n for n in range(1, min(height, width) + 1) if height % n == width % n == 0]
    return [n for n in sides if 4 <= height * width // n**2 <= 64] or sides[-1:]


def _gpt(draw: Draw, shape: list[int], outputs: int) -> Recipe:
    return Recipe("gpt", {"vocabulary": outputs, "context": shape[0], **_blocks(draw)})


def _blocks(draw: Draw) -> dict[str, Any]:
    """The blocks of a transformer."""
    heads = draw.one((1, 2, 4))
    return {
        "width": heads * draw.one((4, 8)),
        "depth": draw.between(1, 3),
        "heads": heads,
        "expansion": draw.one((1, 2, 4)),
        "activation": draw.one(("relu", "gelu", "silu")),
    }


SPACES: dict[str, Space] = {
    "mlp": Space(_mlp, axes=None),
    "cnn": Space(_cnn),
    "resnet": Space(_resnet),
    "vit": Space(_vit),
    "gpt": Space(_gpt, axes=("context",), input_shape=(16,), outputs=32),
    **{name: Space(partial(sample, split), input_shape=split.input_shape) for name, split in SPLITS.items()},
}
