"""The topologies of a zoo's recipes, traced once and kept beside the weights."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.digests import canonical_json, digest
from zoo.users import MISTAKES

if TYPE_CHECKING:
    from torch import nn

    from graphs import Topology

# Beyond this relative difference of outputs, in float64, a symmetry of the topology is none of the network.
TOLERANCE = 1e-6


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
    """The topology of one recipe; raises ValueError when there is none, or the network contradicts it."""
    from graphs import trace
    from graphs.recipe import Recipe
    from zoo.population.initialising import random_stream

    made = Recipe.from_dict(recipe)
    with random_stream(0):
        module = made.build().eval()
    topology = trace(module, *made.example_input())
    _certify(module, made.example_input())
    return topology


def _certify(module: "nn.Module", inputs: tuple[Any, ...]) -> None:
    """Raise ValueError unless one random symmetry of the topology leaves the network's outputs as they were."""
    from graphs import certify

    try:
        error = certify(module, *inputs, trials=1).max_error
    except MISTAKES as reason:
        raise ValueError(f"its graph cannot be checked against the network: {reason}") from reason
    if not error <= TOLERANCE:
        raise ValueError(
            f"its graph contradicts the network: a symmetry of the graph changes the outputs by {error:.2g} of their "
            f"size, expected at most {TOLERANCE:g}"
        )


def read_recipes(root: Path) -> dict[str, dict[str, Any]]:
    """``recipes.json`` of a zoo, empty where it is not written yet; ValueError when it is damaged."""
    path = root / "recipes.json"
    return _read_json(path) if path.is_file() else {}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); `zoo build` with the same spec mends it") from error


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

    row = read_recipes(root).get(topology_key(recipe))
    if row is None:
        return trace_recipe(recipe)
    if "untraceable" in row:
        raise ValueError(
            f"the network of recipe {recipe['factory']} has no graph: {row['untraceable']}; its weights and metrics "
            "can be read all the same"
        )
    return Topology.from_json(json.dumps(_read_json(root / "topologies" / f"{row['topology']}.json")))
