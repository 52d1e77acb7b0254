"""Columns of a zoo's table as numbers, one for each state."""

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
    """One column at the given states ``[S]``: a metric has a value for each state, other columns one a network.

    Raises ValueError for an unknown column.
    """
    import pyarrow as pa

    column = zoo.arrow_column(name)
    if not pa.types.is_list(column.type):
        return column.take(pa.array(index))
    lengths = column.value_lengths().fill_null(0).to_numpy()
    starts = np.cumsum(lengths) - lengths
    # A network without the metric, such as the accuracy of an image network, has no value in any state.
    missing = column.is_null().to_numpy(zero_copy_only=False)[index]
    return column.flatten().take(pa.array(starts[index] + state, mask=missing))


def target_values(zoo: "Zoo", name: str, index: np.ndarray, state: np.ndarray) -> np.ndarray:
    """One column at the given states ``[S]`` float32.

    Raises ValueError for an unknown column, and for one that is not a number for every network.
    """
    import pyarrow as pa

    column = state_column(zoo, name, index, state)
    if column.null_count or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        held = None if column.null_count else column[0].as_py()
        raise ValueError(
            f"target: expected a numeric column, got {name!r}, which holds {held!r}; "
            "give a metric such as test_accuracy or a number such as lr, or filter out the networks without it"
        )
    return column.to_numpy(zero_copy_only=False).astype(np.float32)
