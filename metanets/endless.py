"""The batches of a loader, looped over for as long as a run asks for more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def endless(loader: Iterable[Any], skip: int) -> Iterator[Any]:
    """The batches of loop after loop over ``loader``, from the one numbered ``skip``."""
    number, empty = 0, 0
    while True:
        before = number
        for batch in loader:
            number += 1
            if number > skip:
                yield batch
        # A loader resumed at the very end of an epoch gives one empty loop.
        empty = empty + 1 if number == before else 0
        if empty == 2:
            raise ValueError("train_loader gave no batch; it is empty, or an iterator that is used up: give a list")
