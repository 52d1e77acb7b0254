"""From a spec to its networks and shards: the same ones in every process."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from zoo.architectures import expand, share
from zoo.digests import digest
from zoo.distributions import draw
from zoo.hyperparameters import ARGUMENT, HYPERPARAMETERS, of_identity
from zoo.lineage import with_descendants
from zoo.plans import Facts, Plan, PlannedMember, PlannedShard
from zoo.population.settings import check_kind
from zoo.seeds import member_seed
from zoo.spec import RecipeSpec, ZooSpec

# Families whose layers are one list of widths: the argument, its width and its depth where the spec gives only one.
LAYER_LISTS = {"mlp": ("hidden", 32, 2), "siren": ("hidden", 32, 2), "cnn": ("channels", 8, 2)}
SETTINGS = [name for name, h in HYPERPARAMETERS.items() if not h.in_recipe and name not in ("seed", "image")]


def plan(spec: ZooSpec, facts: Facts) -> Plan:
    """The networks and shards of a spec. Raises ValueError for a hyper-parameter that a recipe does not take."""
    first = (
        _member(spec, facts, recipe, index, place, values)
        for index, (recipe, place, values) in enumerate(_cells(spec, facts))
    )
    members = tuple(with_descendants(first, spec.descendants, spec.seed))
    for member in members:
        _check_kind(member, facts)
    ((most, count),) = Counter(member.id for member in members).most_common(1)
    if count > 1:
        settings = next(member.settings for member in members if member.id == most)
        raise ValueError(
            f"expected different networks, but {count} are the same, seed {settings['seed']} included; "
            "take seed out of the spec, then each network has its own"
        )
    return Plan(members, _shards(members, spec.shard_size))


def _check_kind(member: PlannedMember, facts: Facts) -> None:
    """Raise ValueError for hyper-parameters that a network of this kind, on these data, cannot have."""
    settings, classes = member.settings, facts.data["num_classes"]
    check_kind(*(settings[name] for name in ("image", "target_psnr", "label_noise", "poison_fraction")))
    if settings["poison_fraction"] is not None and settings["target_class"] >= classes:
        raise ValueError(
            f"target_class: expected a class below {classes}, those of the data, got {settings['target_class']}"
        )


def _shards(members: tuple[PlannedMember, ...], size: int) -> tuple[PlannedShard, ...]:
    groups: dict[tuple[int, str], list[int]] = {}
    for index, member in enumerate(members):
        groups.setdefault((member.generation, member.architecture), []).append(index)
    parts = [(key, group[i : i + size]) for key, group in groups.items() for i in range(0, len(group), size)]
    return tuple(
        PlannedShard(i, architecture, tuple(part), generation)
        for i, ((generation, architecture), part) in enumerate(parts)
    )


def planned_recipes(spec: ZooSpec, data: Mapping[str, Any]) -> list[tuple[RecipeSpec, ...]]:
    """The recipes that each entry of a spec stands for, given the facts of the data."""
    return [expand(entry, spec.seed, number, data) for number, entry in enumerate(spec.recipes)]


def _cells(spec: ZooSpec, facts: Facts) -> Iterator[tuple[RecipeSpec, int, dict[str, Any]]]:
    """(recipe, place within its entry, the values its grid cell fixes) of every network in order."""
    entries = planned_recipes(spec, facts.data)
    for number, recipes in enumerate(entries):
        grid = {k: v for k, (section, v) in spec.hyperparameters(recipes[0]).items() if section == "grid"}
        cells = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
        repeats = [spec.repeats] * len(recipes)
        if spec.members is not None:
            count = share(spec.members, len(entries), number)
            repeats = [share(count, len(recipes), i) for i in range(len(recipes))]
        pairs = [(r, cell) for r, times in zip(recipes, repeats, strict=True) for cell in cells for _ in range(times)]
        yield from ((recipe, place, cell) for place, (recipe, cell) in enumerate(pairs))


def _member(
    spec: ZooSpec, facts: Facts, recipe: RecipeSpec, index: int, place: int, cell: dict[str, Any]
) -> PlannedMember:
    _check_inputs(recipe, facts)
    values = dict(cell)
    for name, (section, value) in spec.hyperparameters(recipe).items():
        if section != "grid":
            values[name] = value if section == "fixed" else draw(value, spec.seed, index, name)
    values.setdefault("seed", member_seed(spec.seed, index))
    varied = {n: v for n, v in values.items() if n in ("width", "depth", "kernel") or n.startswith(ARGUMENT)}
    settings = {name: values.get(name, HYPERPARAMETERS[name].default) for name in SETTINGS}
    settings |= {"seed": values["seed"], "image": _image(recipe, facts, place, values)}
    settings |= {name: _own(name, recipe, facts, values) for name in ("activation", "dropout")}
    made = {"factory": recipe.factory, "arguments": _arguments(recipe, facts, varied)}
    if ":" in recipe.factory:
        made |= {name: facts.data[name] for name in ("input_shape", "vocabulary") if name in facts.data}
    length = spec.epochs if spec.steps is None else spec.length
    identity = [made, recipe.loss, of_identity(settings), length, spec.batch_size, facts.data["fingerprint"]]
    return PlannedMember(digest(identity)[:16], made, recipe.loss, settings, varied)


def _check_inputs(recipe: RecipeSpec, facts: Facts) -> None:
    """Raise ValueError where a built-in family reads images and the data are tokens, or the other way round."""
    if ":" in recipe.factory or ("vocabulary" in facts.data) == _takes(recipe, facts, "vocabulary"):
        return
    expected, hint = "images", "take gpt, or one's own module:factory"
    if "vocabulary" not in facts.data:
        expected, hint = "text", "set data to text or text:FILE"
    raise ValueError(f"recipe {recipe.factory} expects {expected}, got the data {facts.data['name']}; {hint}")


def _takes(recipe: RecipeSpec, facts: Facts, name: str) -> bool:
    parameters = facts.parameters[recipe.factory]
    return parameters is None or name in parameters


def _refuse(recipe: RecipeSpec, facts: Facts, name: str, value: Any) -> ValueError:
    takes = ", ".join(facts.parameters[recipe.factory] or ())
    return ValueError(
        f"recipe {recipe.factory} has no {name}, but the spec sets {name} {value!r}; it takes {takes}: "
        f"set {name} under the recipes that have it, or vary another argument as {ARGUMENT}NAME"
    )


def _own(name: str, recipe: RecipeSpec, facts: Facts, values: dict[str, Any]) -> Any:
    """The network's activation or dropout; None leaves it to the recipe."""
    value = values.get(name)
    if value is None or _takes(recipe, facts, name):
        return value
    # No dropout is what a network without the argument does anyhow.
    if name == "dropout" and value == 0:
        return None
    raise _refuse(recipe, facts, name, value)


def _image(recipe: RecipeSpec, facts: Facts, place: int, values: dict[str, Any]) -> int | None:
    """The image that an image network fits: as the spec says, else one after another."""
    size = facts.data["train_size"]
    image = values.get("image", place % size if recipe.factory == "siren" else None)
    if image is not None and "vocabulary" in facts.data:
        raise ValueError(f"image: expected images to fit, got the text {facts.data['name']}; leave image out")
    if image is not None and image >= size:
        raise ValueError(f"image: expected a number below {size}, the training images of the data, got {image}")
    return image


def _arguments(recipe: RecipeSpec, facts: Facts, varied: dict[str, Any]) -> dict[str, Any]:
    """The recipe's arguments: the user's, those varied, and the sizes that the data decide."""
    varied = {name.removeprefix(ARGUMENT): value for name, value in varied.items()}
    if recipe.factory in LAYER_LISTS and {"width", "depth"} & varied.keys():
        name, width, depth = LAYER_LISTS[recipe.factory]
        if name in recipe.arguments:
            raise ValueError(f"recipe {recipe.factory}: width or depth contradicts its argument {name}; keep one")
        varied[name] = [varied.pop("width", width)] * varied.pop("depth", depth)
    for name, value in (recipe.arguments | varied).items():
        if not _takes(recipe, facts, name):
            raise _refuse(recipe, facts, name, value)
    return _sizes(recipe, facts) | recipe.arguments | varied


def _sizes(recipe: RecipeSpec, facts: Facts) -> dict[str, Any]:
    """Arguments of a built-in family that the data decide; a user's own factory knows its sizes."""
    if ":" in recipe.factory:
        return {}
    shape, classes = facts.data["input_shape"], facts.data["num_classes"]
    known = {"input_shape": list(shape), "inputs": math.prod(shape), "outputs": classes}
    if recipe.factory == "siren":
        known = {"inputs": 2, "outputs": shape[0]}
    if "vocabulary" in facts.data:
        known = {"vocabulary": facts.data["vocabulary"], "context": shape[0]}
    return {name: value for name, value in known.items() if _takes(recipe, facts, name)}
