"""Splits: by network, stable, in the promised proportions."""

from collections import Counter

import pytest

from zoo import Zoo
from zoo.splits import split_of

IDS = [f"{i:016x}" for i in range(4000)]


def test_fractions_are_kept() -> None:
    counts = Counter(map(split_of, IDS))
    assert abs(counts["train"] / 4000 - 0.7) < 0.03
    assert abs(counts["val"] / 4000 - 0.1) < 0.02
    assert abs(counts["test"] / 4000 - 0.2) < 0.03


def test_a_split_never_changes() -> None:
    # Results are compared across versions on these very splits.
    assert [split_of(i) for i in IDS[:8]] == ["train", "test", "train", "test", "test", "train", "train", "train"]


def test_other_fractions() -> None:
    assert {split_of(i, {"a": 0.0, "b": 1.0}) for i in IDS} == {"b"}
    with pytest.raises(ValueError, match=r"add up to 1, got {'a': 0.5}"):
        split_of("0", {"a": 0.5})


def test_splits_of_a_zoo_part_its_networks(small_zoo: Zoo) -> None:
    parts = [small_zoo.split(name) for name in ("train", "val", "test")]
    assert sorted(m.id for part in parts for m in part) == sorted(m.id for m in small_zoo)
    for part in parts:
        # All states of a network lie where the network lies.
        assert len(part.samples("all")) == 2 * len(part)
        assert part.table["split"].to_pylist() == [m.split for m in part]


def test_an_unknown_split_is_told(small_zoo: Zoo) -> None:
    with pytest.raises(ValueError, match="train, val, test, got 'valid'"):
        small_zoo.split("valid")
