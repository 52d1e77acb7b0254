"""Entries of a spec that leave the architecture to chance: so many different ones of a space."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from graphs.sampler import SPACES, sample_architecture
from zoo.hyperparameters import ARGUMENT, HYPERPARAMETERS

if TYPE_CHECKING:
    from graphs.recipe import Recipe
    from zoo.spec import RecipeSpec

# Draws without a new architecture after which a space is taken to have no more.
PATIENCE = 1000
# What a space draws by itself; dropout is none of it.
DRAWN = tuple(name for name, h in HYPERPARAMETERS.items() if h.in_recipe and name != "dropout")


def check_space(recipe: RecipeSpec) -> None:
    """Raise ValueError unless an entry names either a factory or a space with a number of architectures."""
    if recipe.factory and recipe.space:
        raise ValueError(f"recipe: expected a factory or a space, got both ({recipe.factory} and {recipe.space})")
    if not recipe.space:
        if recipe.architectures:
            raise ValueError(
                f"recipe {recipe.factory}: architectures: {recipe.architectures!r} is for a space, one of "
                f"{', '.join(SPACES)}; a factory is one architecture"
            )
        return
    if str(recipe.space) not in SPACES:
        raise ValueError(f"recipe space: expected one of {', '.join(SPACES)}, got {recipe.space!r}")
    if type(recipe.architectures) is not int or recipe.architectures < 1:
        raise ValueError(
            f"recipe space {recipe.space}: expected architectures, how many to draw, as a whole number >= 1, "
            f"got {recipe.architectures!r}"
        )
    if recipe.arguments:
        raise ValueError(
            f"recipe space {recipe.space}: arguments are what a space draws, got {recipe.arguments!r}; "
            "leave them out, or name a factory"
        )


def check_drawn(recipe: RecipeSpec, names: Iterable[str]) -> None:
    """Raise ValueError for a hyper-parameter of an entry that its space draws by itself."""
    for name in names:
        if recipe.space and (name in DRAWN or name.startswith(ARGUMENT)):
            raise ValueError(
                f"recipe space {recipe.space}: the space draws the architecture, but the spec sets {name}; set it "
                "under the recipes that are to have it"
            )


def check_shares(recipes: Sequence[RecipeSpec], members: int) -> None:
    """Raise ValueError where the networks are too few for one of each architecture."""
    for number, recipe in enumerate(recipes):
        count = share(members, len(recipes), number)
        if count < recipe.architectures:
            raise ValueError(
                f"members: expected a network for each of the {recipe.architectures} architectures of recipe "
                f"{number + 1}, whose share of {members} is {count}; raise members, or lower architectures"
            )


def expand(recipe: RecipeSpec, seed: int, entry: int, data: Mapping[str, Any]) -> tuple[RecipeSpec, ...]:
    """The recipes that an entry of a spec stands for: itself, or the architectures of its space, all different.

    Args:
        recipe: the entry.
        seed: that of the spec, from which those of the architectures follow. The first of many are those of few.
        entry: its number; two entries of one space have other architectures.
        data: facts of the data, which decide input_shape and outputs.

    Raises ValueError where the space takes no such data, or has fewer architectures.

    >>> from zoo.spec import RecipeSpec
    >>> data = {"input_shape": [1, 8, 8], "num_classes": 10}
    >>> [r.factory for r in expand(RecipeSpec(space="cnn", architectures=2), 0, 0, data)]
    ['cnn', 'cnn']
    """
    if not recipe.space:
        return (recipe,)
    found: dict[Recipe, None] = {}
    draws = news = 0
    while len(found) < recipe.architectures:
        if draws - news > PATIENCE:
            raise ValueError(
                f"recipe space {recipe.space}: expected {recipe.architectures} different architectures, found "
                f"{len(found)} in {draws} draws; lower architectures"
            )
        drawn = sample_architecture(
            recipe.space,
            _seed(seed, entry, draws),
            input_shape=data["input_shape"],
            outputs=data["num_classes"],
        )
        draws += 1
        if drawn not in found:
            found[drawn], news = None, draws
    return tuple(
        replace(recipe, factory=r.factory, arguments=dict(r.arguments), space="", architectures=0) for r in found
    )


def share(total: int, parts: int, index: int) -> int:
    """How many of ``total`` go to part ``index``; the first take one more where the count does not divide.

    >>> [share(7, 3, i) for i in range(3)]
    [3, 2, 2]
    """
    each, rest = divmod(total, parts)
    return each + (index < rest)


def _seed(seed: int, entry: int, draw: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/architectures/{entry}/{draw}".encode()).digest()[:7], "big")
