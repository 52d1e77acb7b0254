"""What a zoo shall contain: a frozen, checked description in YAML."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from graphs.recipe import FAMILIES
from zoo.architectures import check_drawn, check_shares, check_space
from zoo.digests import digest
from zoo.keeping import check_count, states_kept
from zoo.lineage import Generation, grown
from zoo.sections import SECTIONS, check_mapping, freeze_sections

TRAINERS = ("auto", "reference", "stacked", "native")
EPOCHS = 10
# Fields that came after the first version: left out at their default, they leave the digest as it was.
LATER = ("steps", "descendants")


@dataclass(frozen=True)
class RecipeSpec:
    """One recipe of a zoo, or many: random architectures of a space.

    Args:
        factory: a built-in family (``mlp``, ``cnn``, ``siren``, ...) or one's own ``module:factory``.
        arguments: its keyword arguments; sizes that the data decide may be left out.
        space: in place of a factory, one of ``graphs.sampler.SPACES``; ``architectures`` different ones of it are
            drawn by the seed of the spec and share the networks of this recipe evenly.
        architectures: how many.
        loss: one's own ``module:function`` called as ``loss(outputs, targets)``; None takes the family's.
        fixed, grid, random: hyper-parameters of this recipe alone; they replace those of the spec.
    """

    factory: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    loss: str | None = None
    fixed: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, list[Any]] = field(default_factory=dict)
    random: dict[str, Any] = field(default_factory=dict)
    space: str = ""
    architectures: int = 0

    def __post_init__(self) -> None:
        check_space(self)
        if not self.space and self.factory not in FAMILIES and ":" not in str(self.factory):
            raise ValueError(
                f"recipe: expected one of {', '.join(FAMILIES)} or one's own module:factory, got {self.factory!r}"
            )
        if self.loss is not None and (not isinstance(self.loss, str) or ":" not in self.loss):
            raise ValueError(f"recipe loss: expected 'module:function' such as my_code:loss, got {self.loss!r}")
        check_mapping("recipe arguments", self.arguments)
        freeze_sections(self, f"recipe {self.factory or self.space}")


@dataclass(frozen=True)
class ZooSpec:
    """A zoo: which networks, trained how, on what, and which of their states are kept.

    A hyper-parameter is ``fixed`` (one value), in the ``grid`` (a list: every combination is built ``repeats`` times,
    with other seeds) or ``random`` (``{choice|uniform|loguniform|int: [...]}``; a bare list is a choice). Without a
    grid, ``members`` says how many networks there are; recipes share them evenly.

    Args:
        data: ``digits``, a Hugging Face image data set (``hf:ID`` or a folder), a text (``text`` or ``text:FILE``), or
            ``{source: ..., **options}``.
        recipes: the recipes, each a family name or a RecipeSpec written as a mapping.
        fixed, grid, random: hyper-parameters of every recipe.
        members: number of networks of a zoo without a grid, descendants apart.
        repeats: networks for each cell of a grid.
        epochs: passes over a network's own training set; 10 where nothing is said.
        steps: updates of every network, in place of epochs; ``keep`` then counts updates.
        batch_size: samples a step.
        keep: epochs (or updates) whose states are kept, 0 = before training; or ``{every: n}``; None keeps only the
            last state.
        trainer: ``reference`` (plain PyTorch), ``stacked`` (many networks at once), ``native`` (one at a
            time, compiled), or ``auto``: the first of native, stacked and reference that takes the recipe.
        seed: from which every network's own seed follows.
        shard_size: most networks in one shard, the unit of work and of resuming.
        descendants: generations of networks that start from those before; each a ``zoo.lineage.Generation`` written
            as a mapping.

    Raises ValueError for anything unknown or contradictory.

    >>> spec = ZooSpec(data="digits", recipes=("mlp",), members=8, random={"lr": {"loguniform": [1e-4, 1e-2]}})
    >>> spec.count, spec.keep
    (8, (10,))
    """

    data: dict[str, Any]
    recipes: tuple[RecipeSpec, ...]
    fixed: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, list[Any]] = field(default_factory=dict)
    random: dict[str, Any] = field(default_factory=dict)
    members: int | None = None
    repeats: int = 1
    epochs: int | None = None
    steps: int | None = None
    batch_size: int = 32
    keep: tuple[int, ...] | None = None
    trainer: str = "auto"
    seed: int = 0
    shard_size: int = 64
    descendants: tuple[Generation, ...] = ()

    def __post_init__(self) -> None:
        _set(self, "data", _source(self.data))
        _set(self, "recipes", _recipes(self.recipes))
        freeze_sections(self, "spec")
        _set(self, "descendants", _generations(self.descendants))
        self._check_length()
        for name, low in (("batch_size", 1), ("seed", 0), ("shard_size", 1), ("repeats", 1)):
            check_count(name, getattr(self, name), low)
        if self.trainer not in TRAINERS:
            raise ValueError(f"trainer: expected one of {', '.join(TRAINERS)}, got {self.trainer!r}")
        _set(self, "keep", states_kept(self.keep, next(iter(self.length.items()))))
        self._check_count()
        for recipe in self.recipes:
            _check_together(recipe, self.hyperparameters(recipe))

    def _check_length(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise ValueError(
                f"expected epochs or steps, got both ({self.epochs} and {self.steps}); keep one of the two"
            )
        if self.epochs is None and self.steps is None:
            _set(self, "epochs", EPOCHS)
        for name, count in self.length.items():
            check_count(name, count, 1)

    def _check_count(self) -> None:
        grids = bool(self.grid) or any(recipe.grid for recipe in self.recipes)
        if grids and self.members is not None:
            raise ValueError(
                f"members: {self.members} contradicts a grid, which fixes the count; leave members out (repeats "
                "builds each cell more than once), or move the lists from grid to random"
            )
        if not grids and self.members is None:
            raise ValueError("members: expected a count of networks, got none; give members, or a grid")
        if not grids and self.repeats != 1:
            raise ValueError(f"repeats: {self.repeats} is for a grid, and there is none; give members instead")
        if self.members is not None:
            check_count("members", self.members, len(self.recipes))
            check_shares(self.recipes, self.members)

    def hyperparameters(self, recipe: RecipeSpec) -> dict[str, tuple[str, Any]]:
        """Each hyper-parameter of a recipe as (section, value): its own where it has one, else the spec's."""
        merged = {name: (section, value) for section in SECTIONS for name, value in getattr(self, section).items()}
        own = {name: (section, value) for section in SECTIONS for name, value in getattr(recipe, section).items()}
        return merged | own

    @property
    def length(self) -> dict[str, int]:
        """How long every network is trained: ``{"epochs": n}`` or ``{"steps": n}``."""
        return {name: n for name, n in (("epochs", self.epochs), ("steps", self.steps)) if n is not None}

    @property
    def count(self) -> int:
        """Number of networks, descendants included."""
        return grown(self._first, self.descendants)

    @property
    def _first(self) -> int:
        """Number of networks that start anew."""
        if self.members is not None:
            return self.members
        total = 0
        for recipe in self.recipes:
            cells = 1
            for section, value in self.hyperparameters(recipe).values():
                cells *= len(value) if section == "grid" else 1
            total += cells * self.repeats * max(1, recipe.architectures)
        return total

    @property
    def digest(self) -> str:
        """sha256 of the spec's content; writing out a default does not change it."""
        return digest({name: value for name, value in self.to_dict().items() if value or name not in LATER})

    def to_dict(self) -> dict[str, Any]:
        """Plain data, every field written out."""
        content = _plain(asdict(self))
        content["recipes"] = [_filled(recipe) for recipe in content["recipes"]]
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "ZooSpec":
        """The spec of plain data, as a YAML file holds it."""
        return cls(**_check_fields("spec", cls, content, required=("data", "recipes")))

    def to_yaml(self) -> str:
        """The spec as YAML, every field written out."""
        import yaml

        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    @classmethod
    def from_yaml(cls, path: str | Path) -> "ZooSpec":
        """Read a YAML file; raises ValueError that names the file."""
        import yaml

        try:
            return cls.from_dict(yaml.safe_load(Path(path).read_text()))
        except OSError as error:
            raise ValueError(f"expected a spec file, but {path} cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not YAML: {error}") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _set(target: Any, name: str, value: Any) -> None:
    object.__setattr__(target, name, value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _filled(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe without the fields of the way, factory or space, that it does not go."""
    return {name: value for name, value in recipe.items() if value or name not in ("factory", "space", "architectures")}


def _check_fields(where: str, cls: type, content: Any, required: tuple[str, ...]) -> dict[str, Any]:
    check_mapping(where, content)
    names = [f.name for f in fields(cls)]
    for name in content:
        if name not in names:
            raise ValueError(f"{where}: unknown field {name!r}; expected one of {', '.join(names)}")
    for name in required:
        if name not in content:
            raise ValueError(f"{where}: expected the field {name!r}, got {', '.join(content) or 'nothing'}; add it")
    return dict(content)


def _source(data: Any) -> dict[str, Any]:
    data = {"source": str(data)} if isinstance(data, (str, Path)) else data
    if not isinstance(data, Mapping) or not isinstance(data.get("source"), str):
        raise ValueError(f"data: expected a source such as digits or {{source: hf:ID, ...}}, got {data!r}")
    return _plain(data)


def _recipes(recipes: Any) -> tuple[RecipeSpec, ...]:
    if not isinstance(recipes, (list, tuple)) or not recipes:
        raise ValueError(f"recipes: expected a list of at least one recipe, got {recipes!r}")
    return tuple(_recipe(recipe) for recipe in recipes)


def _recipe(recipe: Any) -> RecipeSpec:
    if isinstance(recipe, RecipeSpec):
        return recipe
    content = {"factory": recipe} if isinstance(recipe, str) else recipe
    required = ("space", "architectures") if isinstance(content, Mapping) and "space" in content else ("factory",)
    return RecipeSpec(**_check_fields("recipe", RecipeSpec, content, required=required))


def _generations(generations: Any) -> tuple[Generation, ...]:
    if not isinstance(generations, (list, tuple)):
        raise ValueError(f"descendants: expected a list of generations, got {generations!r}")
    return tuple(
        one if isinstance(one, Generation) else Generation(**_check_fields("descendants", Generation, one, required=()))
        for one in generations
    )


def _options(entry: tuple[str, Any]) -> list[Any]:
    """The values that one (section, value) can take, or the ends of its range."""
    section, value = entry
    return {"fixed": lambda: [value], "grid": lambda: value, "random": lambda: next(iter(value.values()))}[section]()


def _check_together(recipe: RecipeSpec, merged: dict[str, tuple[str, Any]]) -> None:
    """Refuse hyper-parameters of one recipe that contradict each other, its arguments or its space."""
    check_drawn(recipe, merged)
    for name in merged:
        argument = name.removeprefix("arguments.")
        if argument in recipe.arguments:
            raise ValueError(
                f"recipe {recipe.factory}: {argument} stands both in its arguments and among the hyper-parameters; "
                "keep one of the two"
            )
    optimisers = _options(merged.get("optimiser", ("fixed", "adam")))
    if "momentum" in merged and "sgd" not in optimisers:
        raise ValueError(f"recipe {recipe.factory}: momentum is for sgd, got the optimiser {', '.join(optimisers)}")
