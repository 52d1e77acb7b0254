"""Random distributions of a hyper-parameter, as a spec writes them and as a seed draws them."""

import math
import random
from collections.abc import Callable
from typing import Any


def _choice(place: float, values: list[Any]) -> Any:
    return values[int(place * len(values))]


def _uniform(place: float, bounds: list[float]) -> float:
    return _rounded(bounds[0] + place * (bounds[1] - bounds[0]))


def _loguniform(place: float, bounds: list[float]) -> float:
    return _rounded(math.exp(math.log(bounds[0]) + place * (math.log(bounds[1]) - math.log(bounds[0]))))


def _int(place: float, bounds: list[int]) -> int:
    return bounds[0] + int(place * (bounds[1] - bounds[0] + 1))


def _rounded(value: float) -> float:
    # Six digits: the same value on every libm, and one that reads well in a table.
    return float(f"{value:.6g}")


# Kind -> value at a place in [0, 1). `int` includes both ends.
DISTRIBUTIONS: dict[str, Callable[[float, list[Any]], Any]] = {
    "choice": _choice,
    "uniform": _uniform,
    "loguniform": _loguniform,
    "int": _int,
}


def draw(distribution: dict[str, list[Any]], seed: int, index: int, name: str) -> Any:
    """The value of hyper-parameter ``name`` of network ``index``: the same in every process.

    Each field has its own stream, so that a field added to a spec leaves the draws of the others as they were.

    >>> 3 <= draw({"int": [3, 5]}, seed=0, index=7, name="width") <= 5
    True
    """
    ((kind, values),) = distribution.items()
    return DISTRIBUTIONS[kind](random.Random(f"{seed}/{index}/{name}").random(), values)


def check_distribution(name: str, value: Any) -> dict[str, list[Any]]:
    """``value`` as ``{kind: [...]}``; a bare list is a choice. Raises ValueError with what a spec may say."""
    if isinstance(value, (list, tuple)):
        value = {"choice": list(value)}
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in DISTRIBUTIONS:
        raise ValueError(
            f"random {name}: expected a list or one of {{{', '.join(DISTRIBUTIONS)}}}, got {value!r}; "
            f"write for example {{uniform: [0, 1]}}"
        )
    ((kind, values),) = value.items()
    if not isinstance(values, (list, tuple)) or not values or (kind != "choice" and len(values) != 2):
        wanted = "a list of at least one value" if kind == "choice" else "[lowest, highest]"
        raise ValueError(f"random {name}: {kind} expects {wanted}, got {values!r}")
    return {kind: list(values)}


def check_bounds(name: str, kind: str, values: list[Any]) -> None:
    """Raise ValueError unless a range runs upward (and stays positive on a logarithmic scale)."""
    if kind == "choice":
        return
    if values[0] > values[1]:
        raise ValueError(f"random {name}: expected {kind} [lowest, highest], got {values}; swap the two")
    if kind == "loguniform" and values[0] <= 0:
        raise ValueError(f"random {name}: loguniform expects bounds above 0, got {values}; use uniform to include 0")
