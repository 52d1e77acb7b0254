"""Groups of networks that are compared with each other."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.reporting.features import MISSING, Feature

if TYPE_CHECKING:
    import numpy as np

# More colours than these cannot be told apart.
MOST = 10
OTHER = "others"


@dataclass(frozen=True)
class Grouping:
    """A division of all networks.

    Args:
        name: what it goes by.
        title: as the page shows it.
        labels: a group each.
        members: ``[M]``, the number of each network's group.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    members: "np.ndarray"


def group_by(feature: Feature) -> Grouping:
    """Groups of equal values, or of quartiles where there are many; rare texts are put together.

    >>> import numpy as np
    >>> group_by(Feature("activation", np.array(["tanh", "relu", "tanh"]))).labels
    ('relu', 'tanh')
    """
    return _by_value(feature) if feature.few else _by_quartile(feature)


def _by_value(feature: Feature) -> Grouping:
    import numpy as np

    words = np.array(feature.words)
    found, counts = np.unique(words, return_counts=True)
    common = {
        str(word) for word in found[np.argsort(-counts, kind="stable")[: MOST if len(found) <= MOST else MOST - 1]]
    }
    order = [f"{v:.4g}" for v in feature.distinct] if feature.numeric else feature.distinct
    labels = [word for word in dict.fromkeys([*order, MISSING]) if word in common]
    labels += [OTHER] if len(found) > MOST else []
    place = {word: labels.index(word) if word in common else len(labels) - 1 for word in found.tolist()}
    return Grouping(feature.name, feature.title, tuple(labels), np.array([place[w] for w in words.tolist()]))


def _by_quartile(feature: Feature) -> Grouping:
    from itertools import pairwise

    import numpy as np

    edges = np.unique(np.nanquantile(feature.values, [0, 0.25, 0.5, 0.75, 1]))
    labels = [f"{a:.2g} – {b:.2g}" for a, b in pairwise(edges)]
    members = np.clip(np.searchsorted(edges, feature.values, side="right") - 1, 0, len(labels) - 1)
    absent = np.isnan(feature.values)
    labels += [MISSING] if absent.any() else []
    return Grouping(feature.name, feature.title, tuple(labels), np.where(absent, len(labels) - 1, members))


def explained(grouping: Grouping, values: "np.ndarray") -> float:
    """The share of the variance of the finite values that lies between the groups; 0 where nothing varies.

    >>> import numpy as np
    >>> explained(Grouping("lr", "lr", ("low", "high"), np.array([0, 0, 1, 1])), np.array([0.1, 0.1, 0.9, 0.9]))
    1.0
    """
    import numpy as np

    finite = np.isfinite(values)
    members, there = grouping.members[finite], values[finite]
    counts = np.bincount(members, minlength=len(grouping.labels))
    means = np.bincount(members, there, len(grouping.labels)) / np.maximum(counts, 1)
    total = np.square(there - there.mean()).sum() if len(there) else 0.0
    return float((counts * np.square(means - there.mean())).sum() / total) if total > 0 else 0.0
