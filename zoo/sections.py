"""The three sections in which a spec says what its networks' hyper-parameters are: fixed, grid, random."""

from collections.abc import Mapping
from typing import Any

from zoo.distributions import check_bounds, check_distribution
from zoo.hyperparameters import check_value

SECTIONS = ("fixed", "grid", "random")


def freeze_sections(target: Any, where: str) -> None:
    """Check fixed, grid and random of a frozen object, convert their values, and refuse a name that stands in two."""
    for section in SECTIONS:
        check_mapping(f"{where}, {section}", getattr(target, section))
        checked = {name: _CHECKS[section](name, value) for name, value in getattr(target, section).items()}
        object.__setattr__(target, section, checked)
    for first, second in (("fixed", "grid"), ("fixed", "random"), ("grid", "random")):
        for name in getattr(target, first).keys() & getattr(target, second).keys():
            raise ValueError(f"{where}: {name} stands in both {first} and {second}; keep one of the two")


def _grid_values(name: str, values: Any) -> list[Any]:
    if not isinstance(values, (list, tuple)) or not values:
        hint = "move it to random" if isinstance(values, Mapping) else "move it to fixed, or write [value]"
        raise ValueError(f"grid {name}: expected a list of values, got {values!r}; {hint}")
    checked = [check_value(name, value) for value in values]
    if any(value in checked[:i] for i, value in enumerate(checked)):
        raise ValueError(f"grid {name}: expected different values, got {values!r}; use repeats for more seeds")
    return checked


def _random_values(name: str, value: Any) -> dict[str, list[Any]]:
    distribution = check_distribution(name, value)
    ((kind, values),) = distribution.items()
    checked = [check_value(name, v) for v in values]
    if kind != "choice" and any(isinstance(v, str) for v in checked):
        raise ValueError(f"random {name}: {kind} is for numbers, got {values!r}; use choice")
    if kind == "int" and any(not isinstance(v, int) and v != int(v) for v in checked):
        raise ValueError(f"random {name}: int expects whole numbers, got {values!r}; use uniform")
    if kind in ("uniform", "loguniform") and all(type(v) is int for v in checked):
        raise ValueError(f"random {name}: {kind} draws fractions, and {name} is a whole number; use int")
    check_bounds(name, kind, checked)
    return {kind: checked}


_CHECKS = {"fixed": check_value, "grid": _grid_values, "random": _random_values}


def check_mapping(where: str, value: Any) -> None:
    """Raise ValueError unless ``value`` maps names to something."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{where}: expected name: value pairs, got {value!r}")
