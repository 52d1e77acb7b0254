"""What the page is made from: a zoo's table as arrays, and the networks chosen to be drawn."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from zoo.reporting.features import Feature, feature, varied_features
from zoo.reporting.grouping import Grouping, explained, group_by
from zoo.reporting.scores import Score, choose_score

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from zoo.store import Zoo

Progress = Callable[[str, Iterable[Any]], Iterable[Any]]


def silent(what: str, items: Iterable[Any]) -> Iterable[Any]:
    """A progress that shows nothing."""
    return items


@dataclass(frozen=True)
class Survey:
    """A zoo of M networks, read once.

    Args:
        zoo: the zoo.
        limit: most networks drawn one by one, or whose weights are read.
        seed: of the choice of these networks.
        progress: wraps what takes long, as ``progress(what, items)``.
    """

    zoo: "Zoo"
    limit: int = 2000
    seed: int = 0
    progress: Progress = silent

    @cached_property
    def table(self) -> "pa.Table":
        return self.zoo.table

    def __len__(self) -> int:
        return self.table.num_rows

    def texts(self, name: str) -> "np.ndarray":
        """A column as text ``[M]``."""
        return feature(self.table, name).values

    def numbers(self, name: str) -> "np.ndarray":
        """A column of whole numbers ``[M]``."""
        return self.table[name].to_numpy()

    @cached_property
    def ok(self) -> "np.ndarray":
        """``[M]``: whether a network's training did not diverge."""
        return self.texts("status") == "ok"

    @cached_property
    def metrics(self) -> list[str]:
        """Names of the columns with a number for each kept state."""
        import pyarrow as pa

        wanted = pa.list_(pa.float64())
        return [f.name for f in self.table.schema if f.type == wanted and self.table[f.name].null_count < len(self)]

    @cached_property
    def score(self) -> Score | None:
        return choose_score(self.metrics)

    @cached_property
    def epochs(self) -> "np.ndarray":
        """``[T]``: all epochs of which some network has a state."""
        import numpy as np

        return np.unique(self._lists("epochs")[0])

    @property
    def unit(self) -> str:
        """What ``epochs`` counts: epochs, or the updates of a zoo that was trained by steps."""
        by_steps = "train_steps" in self.table.column_names and self.table["train_steps"].null_count < len(self)
        return "step" if by_steps else "epoch"

    def curves(self, name: str) -> "np.ndarray":
        """A metric as ``[M, T]`` over ``epochs``; NaN where a network has none."""
        import numpy as np

        curves = np.full((len(self), len(self.epochs)), np.nan)
        (values, counts), (epochs, kept) = self._lists(name), self._lists("epochs")
        measured = counts == kept
        rows = np.repeat(np.flatnonzero(measured), kept[measured])
        times = np.searchsorted(self.epochs, epochs[np.repeat(measured, kept)])
        curves[rows, times] = values[np.repeat(measured, counts)]
        return curves

    def _lists(self, name: str) -> tuple["np.ndarray", "np.ndarray"]:
        """All numbers of a column of lists one after the other, and how many each network has."""
        lists = self.table[name].combine_chunks()
        return lists.flatten().to_numpy(zero_copy_only=False), lists.value_lengths().fill_null(0).to_numpy()

    @cached_property
    def final(self) -> "np.ndarray":
        """``[M]``: the score of the last state; NaN where the network diverged or has none."""
        import numpy as np

        if self.score is None:
            return np.full(len(self), np.nan)
        last = [np.nan if v is None else v[-1] for v in self.table[self.score.name].to_pylist()]
        final = np.array(last, np.float64)
        return np.where(self.ok & np.isfinite(final), final, np.nan)

    @cached_property
    def features(self) -> list[Feature]:
        return varied_features(self.table)

    @cached_property
    def groupings(self) -> list[Grouping]:
        """The ways to compare groups of networks; that which tells most of the score is first, the split last."""
        ways = [g for g in (self.grouping("family"), *map(group_by, self.features)) if len(g.labels) > 1]
        ways.sort(key=lambda way: -explained(way, self.final))
        return [*ways, self.grouping("split")]

    def grouping(self, name: str) -> Grouping:
        """The groups of one column."""
        return group_by(feature(self.table, name))

    def chosen(self, rows: "np.ndarray", most: int | None = None) -> "np.ndarray":
        """At most ``limit`` (or ``most``) of the rows, at random but always the same, in their order."""
        import numpy as np

        most = self.limit if most is None else min(most, self.limit)
        if len(rows) <= most:
            return rows
        return np.sort(np.random.default_rng(self.seed).choice(rows, most, replace=False))

    def words(self, row: int) -> str:
        """One network in a few words: id and what sets it apart."""
        settings = ", ".join(f"{f.title} {f.words[row]}" for f in self.features)
        return f"{self.table['id'][row].as_py()}<br>{settings}"
