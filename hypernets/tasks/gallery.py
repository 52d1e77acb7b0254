"""Small architectures of every built-in family, to look for the nearest among."""

from __future__ import annotations

from graphs.recipe import Recipe
from graphs.sampler import Draw, sample_architecture

INPUT_SHAPE, OUTPUTS = [1, 8, 8], 10
# Family -> the space that its architectures are drawn from.
SAMPLED = {**{name: name for name in ("mlp", "cnn", "resnet", "vit", "gpt")}, "deepnet": "deepnets_small"}


def gallery(each: int, seed: int = 0) -> dict[str, list[Recipe]]:
    """``each`` different architectures of every family, always the same: those of the spaces of
    ``graphs.sample_architecture``, and VGG- and MobileNet-like ones.

    Images are 1x8x8 with ten classes, texts 16 tokens of 32; a graph hypernetwork reads neither.

    Raises ValueError unless ``each`` is a positive number.

    >>> [len(recipes) for recipes in gallery(2).values()][:3], gallery(2)["vgg"] == gallery(2)["vgg"]
    ([2, 2, 2], True)
    """
    if each < 1:
        raise ValueError(f"expected one architecture of each family or more, got {each}")
    return {family: _different(family, each, seed) for family in (*SAMPLED, *_DRAWN)}


def _different(family: str, count: int, seed: int) -> list[Recipe]:
    found: dict[Recipe, None] = {}
    number = seed * 10**6
    while len(found) < count:
        draw = _DRAWN.get(family)
        found[draw(Draw(f"{family}/{number}")) if draw else sample_architecture(SAMPLED[family], number)] = None
        number += 1
    return list(found)


def _vgg(draw: Draw) -> Recipe:
    stages = [draw.many(draw.between(1, 3), (8, 16, 32)) for _ in range(draw.between(1, 3))]
    sizes = {"input_shape": INPUT_SHAPE, "outputs": OUTPUTS}
    return Recipe("vgg", {"stages": stages, "hidden": draw.one((16, 32, 64)), **sizes})


def _mobilenet(draw: Draw) -> Recipe:
    depth = draw.between(2, 6)
    widths = sorted(draw.many(depth, (8, 12, 16, 24, 32)))
    strides = [2 if i == depth // 2 else 1 for i in range(depth)]
    sizes = {"input_shape": INPUT_SHAPE, "outputs": OUTPUTS, "stem": draw.one((8, 16))}
    return Recipe("mobilenet", {"widths": widths, "strides": strides, "expansion": draw.one((2, 3, 4)), **sizes})


_DRAWN = {"vgg": _vgg, "mobilenet": _mobilenet}
