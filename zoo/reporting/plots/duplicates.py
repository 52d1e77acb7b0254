"""Networks whose final weights are the same bit for bit."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING

from zoo.reporting.section import Part, Section, Table, Text
from zoo.reporting.words import amount

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.reporting.survey import Survey

ROWS = 50
# So many weights, spread over a network, tell nearly all networks apart; only those that agree in them are read whole.
PROBE = 64


def section(survey: "Survey") -> Section:
    """The section."""
    lead = (
        "Groups of networks whose final weights are identical bit for bit, by digest: a zoo that was meant to have "
        "independent networks should have none, or a split would leak into another."
    )
    return Section("duplicates", "Duplicates", lead, tuple(_parts(survey)))


def _parts(survey: "Survey") -> list[Part]:
    groups = find_duplicates(survey)
    compared = int(survey.ok.sum())
    if not groups:
        return [Text(f"None among the {amount(compared, 'network')} that did not diverge.")]
    told = f"{amount(len(groups), 'group')} among the {amount(compared, 'network')} that did not diverge."
    told += f" The first {ROWS} are listed." if len(groups) > ROWS else ""
    rows = [(str(len(group)), ", ".join(group[:8]) + (", ..." if len(group) > 8 else "")) for group in groups[:ROWS]]
    return [Text(told), Table("Identical networks", ("networks", "ids"), rows)]


def find_duplicates(survey: "Survey") -> list[list[str]]:
    """Ids of the networks that did not diverge and have the same final weights, largest groups first."""
    import numpy as np

    shards, places = survey.numbers("shard"), survey.numbers("place")
    ids, store = survey.texts("id"), survey.zoo.store

    def weights(row: int) -> "Tensor":
        return store.shard(int(shards[row])).states[-1, places[row]]

    # In the order of the shards, so that each is opened once.
    rows = np.lexsort((places, shards))
    rows = survey.progress("duplicates", rows[survey.ok[rows]].tolist())
    alike = _together(rows, lambda row: _probe(weights(row)))
    same = [group for candidates in alike for group in _together(candidates, lambda row: _digest(weights(row)))]
    return sorted(([str(ids[row]) for row in sorted(group)] for group in same), key=lambda group: (-len(group), group))


def _together(rows: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    """The groups of more than one with equal keys."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return [group for group in groups.values() if len(group) > 1]


def _probe(weights: "Tensor") -> Hashable:
    return weights.numel(), _bytes(weights[:: max(1, weights.numel() // PROBE)])


def _digest(weights: "Tensor") -> Hashable:
    return hashlib.sha256(_bytes(weights)).hexdigest()


def _bytes(weights: "Tensor") -> bytes:
    import torch

    return weights.contiguous().view(torch.uint8).numpy().tobytes()
