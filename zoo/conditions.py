"""Filters of a zoo as a command line has them: NAME=VALUE."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.store import Zoo


def filter_where(zoo: "Zoo", conditions: Iterable[str]) -> "Zoo":
    """The networks that satisfy every condition; several values of one column stand for any of them.

    Raises ValueError for an unknown column, and for a value that is not of the column's type.

    >>> import tempfile, zoo
    >>> spec = zoo.ZooSpec({"source": "digits", "limit": 50}, ("mlp",), grid={"lr": [1e-3, 1e-2]}, epochs=1)
    >>> z = zoo.build(spec, tempfile.mkdtemp(), workers=0, progress=False)
    >>> len(filter_where(z, ["lr=0.01", "status=ok"])), len(filter_where(z, ["lr=0.01", "lr=1e-3"]))
    (1, 2)
    """
    wanted: dict[str, list[Any]] = {}
    for condition in conditions:
        name, equals, text = condition.partition("=")
        if not equals:
            raise ValueError(f"expected a condition NAME=VALUE such as status=ok, got {condition!r}")
        wanted.setdefault(name, []).append(_value(zoo, name, text))
    return zoo.filter(None, **wanted)


def _value(zoo: "Zoo", name: str, text: str) -> Any:
    import pyarrow as pa

    readers = {pa.string(): str, pa.int64(): int, pa.float64(): float}
    kind = zoo.store.arrow_column(name).type
    if kind not in readers:
        raise ValueError(f"expected a column of one value a network, got {name!r}, which is {kind}; filter in Python")
    try:
        return readers[kind](text)
    except ValueError as error:
        raise ValueError(f"{name}: expected a value of type {kind}, got {text!r}") from error
