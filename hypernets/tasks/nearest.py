"""``hypernets nearest``: the architectures most like a user's own, by the embedding of a graph hypernetwork."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from graphs.recipe import Recipe

# Architectures of each family of the gallery.
EACH = 25
EXAMPLES = """examples:
  hypernets nearest CHECKPOINT --arch my_code:make_net --input-shape 1,3,32,32
  hypernets nearest CHECKPOINT --arch resnet --arch-args '{"widths": [16, 32]}' --among runs/zoo --json near.json
  hypernets nearest CHECKPOINT                                   # how often the nearest is of the same family"""


@dataclass(frozen=True)
class NearestRun:
    """Find the architectures nearest to one's own; without one, tell how often the nearest is of the same family.

    Args:
        checkpoint: a shipped one (`hypernets list`), a saved folder, a hub repository, or a published .pt file.
        arch: the architecture to look for, a built-in family or module:factory.
        arch_args: keywords of the factory, such as '{"width": 16}'.
        input_shape: shape of an input, batch included, such as 1,3,32,32; again for every further input.
        input_dtype: of all inputs, or once a shape.
        input_max: whole numbers below it (tokens); for all inputs, or once a shape.
        among: folder of a zoo, or a JSON file with a list of recipes; small ones of every built-in family if left out.
        count: how many to tell.
        json: file that gets what was found.
    """

    checkpoint: str
    arch: str | None = None
    arch_args: dict[str, Any] = field(default_factory=dict)
    input_shape: list[str] = field(default_factory=list)
    input_dtype: list[str] = field(default_factory=list)
    input_max: list[int] = field(default_factory=list)
    among: str | None = None
    count: int = 5
    json: str | None = None

    def __post_init__(self) -> None:
        if self.arch is None and (self.arch_args or self.input_shape or self.input_dtype or self.input_max):
            raise ValueError("expected --arch beside its arguments and inputs, got none; name the architecture")
        if self.count < 1:
            raise ValueError(f"expected --count of at least 1, got {self.count}")


def nearest(run: NearestRun) -> None:
    """Print what :func:`find` finds as a table, and write it."""
    from metanets.json_files import write_json
    from metanets.tables import table

    found = find(run)
    if run.arch is None:
        rates = [*found["families"].items(), ("all", found["same_family_first"])]
        print(table(["family", "same family first"], rates))
    else:
        columns = ("name", "family", "similarity")
        print(table(columns, [[one[column] for column in columns] for one in found["nearest"]]))
    if run.json is not None:
        write_json(run.json, {"checkpoint": run.checkpoint, "among": run.among, "arch": run.arch, **found})


def find(run: NearestRun) -> dict[str, Any]:
    """The nearest architectures, the nearest first (``nearest``: name, family, recipe and similarity of each), or
    without an architecture to look for what :func:`same_family` tells."""
    from hypernets.tasks.predict import checkpoint

    ghn, named = checkpoint(run.checkpoint), recipes_among(run.among)
    return same_family(ghn, named) if run.arch is None else {"nearest": _neighbours(ghn, named, run)}


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


def _of_file(path: Path) -> list[tuple[str, str, Recipe]]:
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


def same_family(ghn: Any, named: list[tuple[str, str, Recipe]]) -> dict[str, Any]:
    """How often the nearest other architecture is of the same family: over all (``same_family_first``), and of the
    queries of each family (``families``)."""
    from hypernets.ghn.embedding import embed_recipes
    from hypernets.ghn.retrieval import same_first

    families = [family for _, family, _ in named]
    right = same_first(embed_recipes(ghn, [recipe for _, _, recipe in named]), families).double()
    rates = {
        family: right[[i for i, f in enumerate(families) if f == family]].mean().item()
        for family in dict.fromkeys(families)
    }
    return {"same_family_first": right.mean().item(), "families": rates}


def _neighbours(ghn: Any, named: list[tuple[str, str, Recipe]], run: NearestRun) -> list[dict[str, Any]]:
    from hypernets.ghn.embedding import embed_recipes
    from hypernets.ghn.retrieval import nearest as rank

    among = embed_recipes(ghn, [recipe for _, _, recipe in named])
    similar, places = rank(_query(ghn, run)[None], among, min(run.count, len(named)))
    rows = [(*named[i], s) for i, s in zip(places[0].tolist(), similar[0].tolist(), strict=True)]
    return [{"name": n, "family": f, "recipe": r.to_dict(), "similarity": s} for n, f, r, s in rows]


def _query(ghn: Any, run: NearestRun) -> Tensor:
    """The embedding of the user's architecture."""
    import json

    from graphs.arguments import network
    from hypernets.ghn.embedding import embed_architecture

    assert run.arch is not None
    given = (json.dumps(run.arch_args), run.input_shape, run.input_dtype, run.input_max)
    module, probe = network(run.arch, *given)
    return embed_architecture(ghn, module, *probe.args, **probe.kwargs)
