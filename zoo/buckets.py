"""Which networks of a zoo may share a batch."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from zoo.topologies import read_recipes, topology_key

if TYPE_CHECKING:
    from zoo.store import Zoo


def _by_architecture(zoo: "Zoo") -> np.ndarray:
    return zoo.arrow_column("architecture").dictionary_encode().indices.to_numpy()


def _by_topology(zoo: "Zoo") -> np.ndarray:
    recipes = zoo.arrow_column("recipe").dictionary_encode()
    known = read_recipes(zoo.root)
    keys = [topology_key(json.loads(recipe)) for recipe in recipes.dictionary.to_pylist()]
    # Recipes of one topology go together; one that has none, or is not traced yet, stands for itself.
    names = [known.get(key, {}).get("topology", key) for key in keys]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.int64)[recipes.indices.to_numpy()]


BUCKETS: dict[str, Callable[["Zoo"], np.ndarray]] = {"topology": _by_topology, "architecture": _by_architecture}


def bucket_numbers(zoo: "Zoo", together: str) -> np.ndarray:
    """A number for every network of the zoo, equal where they share a topology, or an architecture.

    Args:
        together: ``topology``, or ``architecture``: networks that differ in activation alone then go together.

    Raises ValueError for another word.
    """
    if together not in BUCKETS:
        raise ValueError(f"together: expected one of {', '.join(BUCKETS)}, got {together!r}")
    return BUCKETS[together](zoo)
