"""Parents and children: networks that start from the trained weights of others, generation after generation."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from zoo.digests import digest
from zoo.distributions import draw
from zoo.hyperparameters import HYPERPARAMETERS, of_identity
from zoo.sections import SECTIONS, freeze_sections
from zoo.seeds import member_seed

if TYPE_CHECKING:
    from zoo.plans import PlannedMember

# What decides the weights that a child takes from its parent, or how these are made.
INHERITED = ("init", "init_scale", "image", *(name for name, h in HYPERPARAMETERS.items() if h.in_recipe))


@dataclass(frozen=True)
class Generation:
    """One generation of children, of every network of the generation before.

    A child starts from the last state of its parent and is trained as long. It has the hyper-parameters of its parent
    but for those that stand here, and a seed of its own.

    Args:
        children: children of each parent, for each cell of the grid.
        fixed, grid, random: hyper-parameters of the children, such as ``lr``, ``label_noise`` or ``sparsity``.

    Raises ValueError for a hyper-parameter that decides the weights themselves.

    >>> Generation(grid={"sparsity": [0.5, 0.9]}).count
    2
    """

    children: int = 1
    fixed: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, list[Any]] = field(default_factory=dict)
    random: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.children, int) or isinstance(self.children, bool) or self.children < 1:
            raise ValueError(f"descendants: expected children >= 1, got {self.children!r}")
        freeze_sections(self, "descendants")
        for name in (name for section in SECTIONS for name in getattr(self, section)):
            if name in INHERITED or name not in HYPERPARAMETERS:
                raise ValueError(
                    f"descendants: {name} is inherited with the weights, a child cannot have its own; vary it in the "
                    f"first generation, and here one of {', '.join(n for n in HYPERPARAMETERS if n not in INHERITED)}"
                )

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The values of each child of a parent that the grid fixes."""
        combinations = itertools.product(*self.grid.values())
        return [dict(zip(self.grid, values, strict=True)) for values in combinations for _ in range(self.children)]

    @property
    def count(self) -> int:
        """Children of a parent."""
        return len(self.cells)


def grown(count: int, generations: Iterable[Generation]) -> int:
    """Networks of all generations that descend from so many.

    >>> grown(10, [Generation(children=2), Generation(children=3)])
    90
    """
    total = count
    for generation in generations:
        count *= generation.count
        total += count
    return total


def with_descendants(
    members: Iterable["PlannedMember"], generations: Iterable[Generation], seed: int
) -> "Iterator[PlannedMember]":
    """The networks and their descendants, one generation after another."""
    parents = list(members)
    yield from parents
    index = len(parents)
    for generation in generations:
        cells = [(parent, cell) for parent in parents for cell in generation.cells]
        parents = [_child(p, generation, cell, seed, index + i) for i, (p, cell) in enumerate(cells)]
        index += len(parents)
        yield from parents


def _child(
    parent: "PlannedMember", generation: Generation, cell: Mapping[str, Any], seed: int, index: int
) -> "PlannedMember":
    drawn = {name: draw(values, seed, index, name) for name, values in generation.random.items()}
    settings = {**parent.settings, "seed": member_seed(seed, index), **generation.fixed, **cell, **drawn}
    return replace(
        parent,
        id=digest([parent.id, of_identity(settings)])[:16],
        settings=settings,
        parent=parent.id,
        root=parent.root or parent.id,
        generation=parent.generation + 1,
    )
