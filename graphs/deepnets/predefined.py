"""The two architectures of the split ``predefined``, which people made and no draw gives."""

from __future__ import annotations

from collections.abc import Sequence

from graphs.deepnets.genotype import Genotype
from graphs.deepnets.space import LARGE
from graphs.recipe import Recipe

VIT = Genotype((("none", 0), ("msa", 1)), (2,), (("none", 0), ("avg_pool_3x3", 1)), (2,))


def predefined(
    *, input_shape: Sequence[int] = (3, 32, 32), outputs: int = 10, C: int = 128, n_cells: int = 12
) -> dict[str, Recipe]:
    """ResNet-50 and a vision transformer; https://arxiv.org/abs/2110.13100, section 3.1.

    Args:
        input_shape: channels, height, width. From 128 pixels a side on, the stems shrink images as for ImageNet.
        outputs: number of outputs.
        C: width of the transformer. n_cells: its number of cells, of which two are mean pooling.

    >>> {name: recipe.factory for name, recipe in predefined().items()}
    {'resnet50': 'bottleneck', 'vit': 'deepnet'}
    """
    large = min(input_shape[1:]) >= LARGE
    sizes = {"input_shape": list(input_shape), "outputs": outputs, "large_images": large}
    vit = {"genotype": VIT.to_dict(), "C": C, "n_cells": n_cells, "preproc": False, "C_mult": 1}
    return {
        "resnet50": Recipe("bottleneck", {**sizes, "widths": [64, 128, 256, 512], "blocks": [3, 4, 6, 3]}),
        "vit": Recipe("deepnet", {**sizes, **vit}),
    }
