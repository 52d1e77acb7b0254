"""The splits of DeepNets-1M as distributions of recipes: draws, rejections, widths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graphs.deepnets.genotype import PRIMITIVES, WEIGHTLESS, Genotype, Op
from graphs.deepnets.plan import Plan
from graphs.deepnets.walking import Count, walk
from graphs.recipe import Recipe

if TYPE_CHECKING:
    from graphs.sampler import Draw

# Images on which sizes are judged, whatever the images that are asked for: those of CIFAR-10 and ImageNet.
JUDGED = (((3, 32, 32), False), ((3, 224, 224), True))
JUDGED_AT: dict[str, Any] = {"C": 32, "fc_dim": 256, "outputs": 10}
# Pixels a side from which the stem shrinks images.
LARGE = 128
# Cells of a deep network are drawn with fewer steps; their kernels of 5 and 7 take much memory.
DENSE_KERNELS = ("conv_5x5", "conv_7x7")


@dataclass(frozen=True)
class Split:
    """What is drawn; by default the split of training and validation (https://arxiv.org/abs/2110.13100, section 3.1).

    Args:
        cells: least and greatest number of cells.
        steps: least number of steps of a cell, the greatest with many cells, and with few.
        few: what is drawn as the greatest number of cells that are few.
        largest: greatest number of parameters at 32 channels.
        norm: whether networks have norms (all but some shallow ones).
        widths: channels of the first cells. heads: widths between two linear layers. widening: factor of the channels.
        input_shape: the images that it is meant for.
    """

    cells: tuple[int, int] = (4, 18)
    steps: tuple[int, int, int] = (1, 2, 4)
    few: tuple[int, ...] = (7, 8, 9, 10)
    largest: int = 10**7
    norm: bool = True
    widths: tuple[int, ...] = tuple(range(32, 129, 16))
    heads: tuple[int, ...] = tuple(range(64, 513, 64))
    widening: int = 1
    input_shape: tuple[int, int, int] = (3, 32, 32)


def _splits(base: Split, deep: tuple[int, int], few: int, largest: int) -> dict[str, Split]:
    """A base, from which networks of training come, and the splits out of its distribution."""
    return {
        "": base,
        "_wide": replace(base, widening=4),
        "_deep": replace(base, cells=deep, few=(few,), largest=largest),
        "_dense": replace(base, steps=(2, 6, 10), largest=largest),
        "_bnfree": replace(base, norm=False),
    }


SMALL = Split(cells=(4, 10), widths=(8, 16, 24, 32), heads=tuple(range(16, 129, 16)), input_shape=(1, 8, 8))
SPLITS: dict[str, Split] = {
    **{f"deepnets{name}": split for name, split in _splits(Split(), (10, 36), few=18, largest=10**8).items()},
    **{f"deepnets_small{name}": split for name, split in _splits(SMALL, (10, 20), few=10, largest=10**7).items()},
}


def sample(split: Split, draw: Draw, shape: list[int], outputs: int) -> Recipe:
    """The first architecture drawn that is not rejected."""
    while True:
        found = _structure(split, draw)
        if found is None:
            continue
        try:
            plan = Plan(**{**found, **JUDGED_AT})
        except ValueError:
            # Its output depends on no input.
            continue
        sizes = [parameter_count(plan, *images) for images in JUDGED]
        if max(sizes) <= split.largest:
            width, head = _widths(split, draw, found, sizes[0])
            genotype = found["genotype"].to_dict()
            asked = {"input_shape": shape, "outputs": outputs, "large_images": min(shape[1:]) >= LARGE}
            return Recipe("deepnet", {**found, **asked, "genotype": genotype, "C": width, "fc_dim": head})


def _structure(split: Split, draw: Draw) -> dict[str, Any] | None:
    """The arguments that have nothing to do with sizes; None where they are rejected."""
    cells, few = draw.between(*split.cells), draw.one(split.few)
    least, medium, most = split.steps
    steps = draw.between(least, most if cells <= few else medium)
    genotype = _genotype(draw, steps)
    if _is_rejected(genotype):
        return None
    is_vit, C_mult = genotype.has("msa"), draw.one((1, 2))
    shallow = cells <= split.cells[0] + 1 and steps <= medium
    stem_type = draw.one((0, 1))
    return {
        "genotype": genotype,
        "n_cells": cells,
        "ks": draw.one((3, 5, 7)),
        "C_mult": C_mult,
        "preproc": steps > 1 or C_mult > 1 or not is_vit or draw.chance(0.2),
        "glob_avg": is_vit or cells > few or draw.chance(0.9),
        "norm": "bn" if split.norm and not (shallow and draw.chance(0.5)) else None,
        "stem_type": stem_type,
        "stem_pool": stem_type == 0 and draw.chance(0.5),
        "fc_layers": draw.one((1, 2)),
    }


def _genotype(draw: Draw, steps: int) -> Genotype:
    """Two primitives a step, on two states. Half of the reduction cells have none with parameters; in half of the draws
    with several steps, each state but the last is left out of the concatenation with probability 1/2."""
    bare, drop = draw.chance(0.5), steps > 1 and draw.chance(0.5)
    # A step alone is to be connected.
    normal = tuple(PRIMITIVES)[steps == 1 :]
    reduce = WEIGHTLESS[steps == 1 :] if bare else normal
    cells = [_cell(draw, steps, primitives) for primitives in (normal, reduce)]
    concat = tuple(s for s in range(2, steps + 2) if s == steps + 1 or not (drop and draw.chance(0.5)))
    return Genotype(cells[0], concat, cells[1], concat)


def _cell(draw: Draw, steps: int, primitives: tuple[str, ...]) -> tuple[Op, ...]:
    ops: list[Op] = []
    for step in range(steps):
        first = draw.between(0, step + 1)
        second = draw.between(0, step)
        states = (first, second + (second >= first))
        ops += [(draw.one(primitives), state) for state in states]
    return tuple(ops)


def _is_rejected(genotype: Genotype) -> bool:
    """Squeeze and excitation without any convolution or twice in a cell, two large dense kernels in a cell, nothing to
    learn."""
    names = genotype.names
    has_conv = any("conv" in name for name in names)
    cells = (names[: len(genotype.normal)], names[len(genotype.normal) :])
    return (
        not (has_conv or (genotype.has("msa") and not genotype.has("cse")))
        or any(cell.count("cse") > 1 for cell in cells)
        or any(sum(name in DENSE_KERNELS for name in cell) > 1 for cell in cells)
    )


def parameter_count(plan: Plan, shape: tuple[int, int, int], large_images: bool) -> int:
    """Parameters of a network at the width by which it is judged, on other images."""
    count = Count()
    walk(replace(plan, **JUDGED_AT, input_shape=shape, large_images=large_images), count, batch=1)
    return count.parameters


def _widths(split: Split, draw: Draw, arguments: Mapping[str, Any], size: int) -> tuple[int, int]:
    """Channels and the width between linear layers: the narrow ones alone for networks that are large anyhow."""
    genotype, cells = arguments["genotype"], arguments["n_cells"]
    millions = size / 10**6
    if millions > 0.8 or not arguments["glob_avg"] or genotype.has(*DENSE_KERNELS) or cells > 12:
        among = 1
    elif millions > 0.4 or cells > 10:
        among = 2
    elif millions > 0.2 or cells > 8:
        among = 3
    else:
        among = len(split.widths)
    width = draw.one(split.widths[:among])
    any_head = among == len(split.widths) and width <= split.widths[len(split.widths) // 3]
    return width * split.widening, draw.one(split.heads if any_head else split.heads[:4])
