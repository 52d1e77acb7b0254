"""Columns of a zoo's table as numbers, one for each state."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from zoo.store import Zoo

STATES = ("all", "final")


def check_states(states: str) -> None:
    """Raise ValueError unless ``states`` is ``all`` or ``final``."""
    if states not in STATES:
        raise ValueError(f"states: expected one of {', '.join(STATES)}, got {states!r}")


def state_places(zoo: "Zoo", states: str) -> tuple[np.ndarray, np.ndarray]:
    """Number in the zoo, and state, of ``all`` kept states or the ``final`` ones, both ``[S]``."""
    check_states(states)
    counts = zoo.arrow_column("epochs").value_lengths().to_numpy()
    if states == "final":
        return np.arange(len(counts)), counts.astype(np.int64) - 1
    index = np.repeat(np.arange(len(counts)), counts)
    return index, np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)


def state_column(zoo: "Zoo", name: str, index: np.ndarray, state: np.ndarray) -> "pa.Array":
    """One column at the given states ``[S]``: a metric has a value (or a list of them) a state, others one a network.

    Raises ValueError for an unknown column.
    """
    import pyarrow as pa

    column = zoo.arrow_column(name)
    # A network without the metric, such as the accuracy of an image network, has no value in any state.
    return _of_lists(column, index, state) if pa.types.is_list(column.type) else column.take(pa.array(index))


def _of_lists(column: "pa.Array", index: np.ndarray, place: np.ndarray) -> "pa.Array":
    """Value ``place [S]`` of the lists ``index [S]`` of a column; null where there is no list."""
    import pyarrow as pa

    lengths = column.value_lengths().fill_null(0).to_numpy()
    starts = np.cumsum(lengths) - lengths
    missing = column.is_null().to_numpy(zero_copy_only=False)[index]
    return column.flatten().take(pa.array(starts[index] + place, mask=missing))


def value_name(name: str, columns: Sequence[str]) -> tuple[str, int | None]:
    """The column that a target names, and the place in its values, such as a class; None for a value of its own.

    >>> value_name("test_class_accuracy/3", ["test_class_accuracy", "lr"]), value_name("lr", ["lr"])
    (('test_class_accuracy', 3), ('lr', None))
    """
    column, _, place = name.rpartition("/")
    # An imported zoo may have columns such as test/3.
    return (column, int(place)) if name not in columns and place.isdecimal() else (name, None)


def value_at(column: "pa.Array", name: str, place: int) -> "pa.Array":
    """One value of each list of a column; raises ValueError where it has no lists, or shorter ones."""
    import pyarrow as pa

    if not pa.types.is_list(column.type):
        raise ValueError(f"target: expected a column with several values a state, got {name!r}; leave out /{place}")
    shortest = min(column.drop_null().value_lengths().to_pylist(), default=place + 1)
    if place >= shortest:
        raise ValueError(f"target: expected {name}/PLACE with a place below {shortest}, got {name}/{place}")
    index = np.arange(len(column))
    return _of_lists(column, index, np.full_like(index, place))


def list_rows(column: "pa.Array") -> np.ndarray:
    """A column of lists of numbers as rows ``[S, N]``, NaN where a list is missing or shorter than the longest.

    >>> import pyarrow
    >>> list_rows(pyarrow.array([[1.0, 2.0], None])).tolist()
    [[1.0, 2.0], [nan, nan]]
    """
    lengths = column.value_lengths().fill_null(0).to_numpy()
    rows = np.full((len(column), lengths.max(initial=0)), np.nan)
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = column.flatten().to_numpy(zero_copy_only=False)
    return rows


def target_values(zoo: "Zoo", name: str, index: np.ndarray, state: np.ndarray) -> np.ndarray:
    """One column at the given states ``[S]`` float32; ``NAME/3`` is value 3 of one with several, such as a class each.

    Raises ValueError for an unknown column, and for one that is not a number for every network.
    """
    import pyarrow as pa

    column_name, place = value_name(name, zoo.store.table.column_names)
    column = state_column(zoo, column_name, index, state)
    column = column if place is None else value_at(column, column_name, place)
    if column.null_count or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        held = None if column.null_count else column[0].as_py()
        raise ValueError(
            f"target: expected a numeric column, got {name!r}, which holds {held!r}; "
            "give a metric such as test_accuracy or test_class_accuracy/3, or a number such as lr, or filter out the "
            "networks without it"
        )
    return column.to_numpy(zero_copy_only=False).astype(np.float32)
