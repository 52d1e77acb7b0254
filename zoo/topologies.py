"""The topologies of a zoo's recipes, traced once and kept beside the weights."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.digests import canonical_json, digest

if TYPE_CHECKING:
    from graphs import Topology


def topology_key(recipe: dict[str, Any]) -> str:
    """Digest of a recipe without its dropout, which leaves the graph of a network as it is."""
    arguments = {name: value for name, value in recipe["arguments"].items() if name != "dropout"}
    return digest({**recipe, "arguments": arguments})[:16]


def trace_recipes(recipes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Trace each recipe (JSON): key -> {recipe, topology: digest, text: JSON} or {recipe, untraceable: reason}."""
    traced: dict[str, dict[str, Any]] = {}
    for recipe in sorted(set(recipes)):
        key = topology_key(json.loads(recipe))
        if key not in traced:
            traced[key] = {"recipe": json.loads(recipe), **_traced(json.loads(recipe))}
    return traced


def _traced(recipe: dict[str, Any]) -> dict[str, Any]:
    try:
        topology = trace_recipe(recipe)
    # A network that has no graph is still a network: the zoo keeps it, and the reason.
    except ValueError as error:
        return {"untraceable": f"{type(error).__name__}: {error}"}
    return {"topology": topology.digest, "text": topology.to_json()}


def trace_recipe(recipe: dict[str, Any]) -> "Topology":
    """The topology of one recipe."""
    from graphs import trace
    from graphs.recipe import Recipe
    from zoo.population.initialising import random_stream

    made = Recipe.from_dict(recipe)
    with random_stream(0):
        module = made.build().eval()
    return trace(module, *made.example_input())


def topology_files(traced: dict[str, dict[str, Any]]) -> dict[str, bytes]:
    """Files of a zoo, by name: ``recipes.json`` and one for each topology."""
    files = {f"topologies/{row['topology']}.json": row["text"].encode() for row in traced.values() if "topology" in row}
    rows = {key: {k: v for k, v in row.items() if k != "text"} for key, row in sorted(traced.items())}
    return {"recipes.json": canonical_json(rows).encode() + b"\n", **files}


def read_topology(root: Path, recipe: dict[str, Any]) -> "Topology":
    """The stored topology of a recipe, traced on the spot where the zoo is not complete yet.

    Raises ValueError with the stored reason when the recipe's network has no graph.
    """
    from graphs import Topology

    path = root / "recipes.json"
    row = json.loads(path.read_text()).get(topology_key(recipe)) if path.is_file() else None
    if row is None:
        return trace_recipe(recipe)
    if "untraceable" in row:
        raise ValueError(
            f"the network of recipe {recipe['factory']} has no graph: {row['untraceable']}; its weights and metrics "
            "can be read all the same"
        )
    return Topology.from_json((root / "topologies" / f"{row['topology']}.json").read_text())
