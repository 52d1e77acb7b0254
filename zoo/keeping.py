"""Which states of a training are kept."""

from collections.abc import Mapping
from typing import Any


def states_kept(keep: Any, length: tuple[str, int]) -> tuple[int, ...]:
    """The epochs (or updates) after which a state is kept, ascending.

    Args:
        keep: as a spec has it: a list, ``{every: n}``, ``every:N``, or None for the last alone.
        length: what is counted, epochs or steps, and how many of them a training has.

    Raises ValueError for anything else, and for what is never reached.

    >>> states_kept({"every": 4}, ("epochs", 10))
    (0, 4, 8, 10)
    """
    unit, last = length
    if keep is None:
        return (last,)
    if isinstance(keep, str) and keep.startswith("every:"):
        every = keep.removeprefix("every:").strip()
        if not every.isdecimal():
            raise ValueError(f"keep: expected every:N with a whole number N >= 1, got {keep!r}; write every:5")
        keep = {"every": int(every)}
    if isinstance(keep, Mapping):
        if set(keep) != {"every"}:
            raise ValueError(f"keep: expected a list of {unit} or {{every: n}}, got {keep!r}")
        check_count("keep every", keep["every"], 1)
        return tuple(sorted({*range(0, last + 1, keep["every"]), last}))
    if not isinstance(keep, (list, tuple)) or not keep:
        raise ValueError(f"keep: expected a list of {unit} or {{every: n}}, got {keep!r}")
    for place in keep:
        check_count("keep", place, 0)
    if max(keep) > last:
        raise ValueError(
            f"keep: {unit.removesuffix('s')} {max(keep)} is never reached, training ends after {last}; raise {unit}"
        )
    return tuple(sorted(set(keep)))


def check_count(name: str, value: Any, low: int) -> None:
    """Raise ValueError unless the value is a whole number of at least ``low``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name}: expected a whole number >= {low}, got {value!r}")
