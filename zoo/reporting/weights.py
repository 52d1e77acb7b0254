"""Weights of many networks of one architecture, read in pieces so that memory stays bounded."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from graphs.layout import Entry
    from zoo.reporting.survey import Survey
    from zoo.store import Store

# Numbers held at once (64 MB), and numbers read for one architecture at most (2 GB of float32).
HELD = 2**23
READ = 2**29


@dataclass(frozen=True)
class Architecture:
    """The networks of one architecture that did not diverge.

    Args:
        store: the files of the zoo.
        name: its digest.
        recipe: its recipe as text.
        rows: numbers of its networks in the table.
        shards, places: where the weights of every network of the zoo lie, ``[M]``.
    """

    store: "Store"
    name: str
    recipe: str
    rows: "np.ndarray"
    shards: "np.ndarray"
    places: "np.ndarray"

    @cached_property
    def entries(self) -> tuple["Entry", ...]:
        """What is learned, in the order of the weights: no buffers."""
        return tuple(
            entry for entry in self.store.shard(int(self.shards[self.rows[0]])).layout.stored if not entry.is_buffer
        )

    @property
    def size(self) -> int:
        """Learned weights of a network."""
        return sum(entry.numel for entry in self.entries)

    @property
    def title(self) -> str:
        """Its recipe without what the data decide."""
        recipe = json.loads(self.recipe)
        own = {k: v for k, v in recipe["arguments"].items() if k not in ("inputs", "outputs", "input_shape")}
        words = ", ".join(f"{k} {v}" for k, v in own.items() if v is not None and k not in ("activation", "dropout"))
        return f"{recipe['factory']}{' with ' + words if words else ''}"

    def gather(self, rows: "np.ndarray", start: int, stop: int, state: int = -1) -> "np.ndarray":
        """Columns ``start:stop`` of one state of some networks, ``[len(rows), stop - start]`` float64."""
        import numpy as np

        out = np.empty((len(rows), stop - start))
        for index in np.unique(self.shards[rows]).tolist():
            here = self.shards[rows] == index
            out[here] = self.store.shard(index).states[state, self.places[rows[here]], start:stop].double().numpy()
        return out

    def columns(self, rows: "np.ndarray") -> Iterator["np.ndarray"]:
        """All learned weights of the last state, some columns at a time, ``[len(rows), w]``."""
        width = max(1, HELD // len(rows))
        for entry in self.entries:
            assert entry.offset is not None
            for start in range(entry.offset, entry.offset + entry.numel, width):
                yield self.gather(rows, start, min(start + width, entry.offset + entry.numel))

    def layers(self, rows: "np.ndarray", state: int = -1) -> Iterator[tuple[int, "np.ndarray", "np.ndarray"]]:
        """(number of the layer, places in ``rows``, their weights ``[n, numel]``), some networks at a time."""
        import numpy as np

        for number, entry in enumerate(self.entries):
            assert entry.offset is not None
            count = max(1, HELD // max(1, entry.numel))
            for places in np.split(np.arange(len(rows)), range(count, len(rows), count)):
                yield number, places, self.gather(rows[places], entry.offset, entry.offset + entry.numel, state)


def architectures(survey: "Survey") -> list[Architecture]:
    """The architectures of a zoo, that with the most networks first."""
    import numpy as np

    names, recipes = survey.texts("architecture"), survey.table["recipe"]
    shards, places = survey.numbers("shard"), survey.numbers("place")
    found, counts = np.unique(names[survey.ok], return_counts=True)
    order = found[np.argsort(-counts, kind="stable")].tolist()
    groups = {name: np.flatnonzero(survey.ok & (names == name)) for name in order}
    zoo = survey.zoo.store
    return [Architecture(zoo, n, recipes[int(r[0])].as_py(), r, shards, places) for n, r in groups.items()]


def layer_norms(architecture: Architecture, rows: "np.ndarray", states: int) -> "np.ndarray":
    """Euclidean norm of every layer of every state, ``[len(rows), states, layers]``."""
    import numpy as np

    norms = np.zeros((len(rows), states, len(architecture.entries)))
    for state in range(states):
        for number, places, weights in architecture.layers(rows, state):
            norms[places, state, number] = np.sqrt(np.einsum("np,np->n", weights, weights))
    return norms


def layer_statistics(architecture: Architecture, rows: "np.ndarray") -> "np.ndarray":
    """Mean, standard deviation and five quantiles of every layer of the last state, ``[len(rows), layers * 7]``."""
    import numpy as np

    out = np.zeros((len(rows), len(architecture.entries), 7))
    for number, places, weights in architecture.layers(rows):
        if weights.shape[1]:
            quantiles = np.quantile(weights, [0, 0.25, 0.5, 0.75, 1], axis=1)
            out[places, number] = np.stack([weights.mean(1), weights.std(1), *quantiles], 1)
    return out.reshape(len(rows), -1)
