"""``hypernets nearest``: the architectures most like a user's own, by the embedding of a graph hypernetwork."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphs.recipe import Recipe

EACH = 25


@dataclass(frozen=True)
class NearestRun:
    """Find the architectures nearest to one's own; without one, tell how often the nearest is of the same family.

    Args:
        checkpoint: folder of the graph hypernetwork.
        arch: the architecture to look for, a built-in family or module:factory.
        arch_args: keywords of the factory, such as '{"width": 16}'.
        input_shape: shape of one input batch of the architecture, such as 1,3,32,32; known for built-in families.
        among: folder of a zoo, or a JSON file with a list of recipes; small ones of every built-in family if left out.
        count: how many to tell.
        json: file that gets what was found.
    """

    checkpoint: str
    arch: str | None = None
    arch_args: dict[str, Any] = field(default_factory=dict)
    input_shape: str | None = None
    among: str | None = None
    count: int = 5
    json: str | None = None

    def __post_init__(self) -> None:
        if self.arch is None and (self.arch_args or self.input_shape):
            raise ValueError("--arch-args and --input-shape speak of --arch, which is missing; name the architecture")


def nearest(run: NearestRun) -> dict[str, Any]:
    """Print and return the nearest architectures (``nearest``), or the rate over all (``same_family_first``)."""
    import hypernets
    from metanets.json_files import write_json

    ghn, named = hypernets.load(run.checkpoint), recipes_among(run.among)
    found = same_family(ghn, named) if run.arch is None else _neighbours(ghn, named, run)
    if run.json is not None:
        write_json(run.json, {"checkpoint": run.checkpoint, "among": run.among, "arch": run.arch, **found})
    return found


def recipes_among(among: str | None) -> list[tuple[str, str, Recipe]]:
    """(name, family, recipe) of every different architecture of a zoo, of a JSON file, or of the built-in gallery.

    Raises ValueError where there is neither a zoo nor a list of recipes.
    """
    from pathlib import Path

    from hypernets.tasks.gallery import gallery

    if among is None:
        drawn = gallery(EACH)
        return [(f"{family}-{i}", family, r) for family, recipes in drawn.items() for i, r in enumerate(recipes)]
    return _of_file(Path(among)) if Path(among).is_file() else _of_zoo(among)


def _of_file(path: Any) -> list[tuple[str, str, Recipe]]:
    import json

    from graphs.recipe import Recipe

    try:
        rows = [Recipe.from_dict(row) for row in json.loads(path.read_text())]
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise ValueError(
            f'expected a JSON list of recipes such as [{{"factory": "resnet"}}] in {path}, got something else ({error})'
        ) from error
    return [(f"{path.name}[{i}]", recipe.factory, recipe) for i, recipe in enumerate(rows)]


def _of_zoo(folder: str) -> list[tuple[str, str, Recipe]]:
    import zoo
    from graphs.recipe import Recipe

    different: dict[Recipe, str] = {}
    for member in zoo.open(folder):
        different.setdefault(Recipe.from_dict(member.recipe), member.id)
    return [(name, recipe.factory, recipe) for recipe, name in different.items()]


def described(recipe: Recipe, input_shape: str | None = None) -> Any:
    """The Architecture of a recipe, whose inputs have the shape given or its own."""
    import json

    from graphs.arguments import network
    from hypernets.ghn.describing import describe

    if input_shape is None:
        return describe(recipe.build(), *recipe.example_input())
    module, probe = network(recipe.factory, json.dumps(dict(recipe.arguments)), [input_shape])
    return describe(module, *probe.args, **probe.kwargs)


def same_family(ghn: Any, named: list[tuple[str, str, Recipe]]) -> dict[str, Any]:
    """How often the nearest other architecture is of the same family, over all and for each family."""
    from hypernets.ghn.embedding import embed_architectures
    from hypernets.ghn.retrieval import same_first
    from metanets.tables import table

    families = [family for _, family, _ in named]
    right = same_first(embed_architectures(ghn, [described(recipe) for _, _, recipe in named]), families)
    rates = {
        family: right[[i for i, f in enumerate(families) if f == family]].double().mean().item()
        for family in dict.fromkeys(families)
    }
    print(table(["family", "same family first"], [*rates.items(), ["all", right.double().mean().item()]]))
    return {"same_family_first": right.double().mean().item(), "families": rates}


def _neighbours(ghn: Any, named: list[tuple[str, str, Recipe]], run: NearestRun) -> dict[str, Any]:
    from graphs.recipe import Recipe
    from hypernets.ghn.embedding import embed_architectures
    from hypernets.ghn.retrieval import nearest as find
    from metanets.tables import table

    assert run.arch is not None
    query = described(Recipe(run.arch, run.arch_args), run.input_shape)
    among = embed_architectures(ghn, [described(recipe) for _, _, recipe in named])
    similar, places = find(embed_architectures(ghn, [query]), among, min(run.count, len(named)))
    rows = [(*named[i], s) for i, s in zip(places[0].tolist(), similar[0].tolist(), strict=True)]
    print(table(["architecture", "family", "similarity"], [[name, family, s] for name, family, _, s in rows]))
    keys = ("name", "family", "recipe", "similarity")
    return {"nearest": [dict(zip(keys, (n, f, r.to_dict(), s), strict=True)) for n, f, r, s in rows]}
