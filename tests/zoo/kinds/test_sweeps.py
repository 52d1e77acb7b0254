"""Sweeps: accuracy falls with wrong labels, and rises with the images that a network sees."""

from itertools import pairwise
from pathlib import Path

import pytest
from shrinking import built, final, settings_that_differ, spec_of

from zoo.hyperparameters import HYPERPARAMETERS


@pytest.mark.parametrize(("kind", "sign", "gap"), [("label_noise", -1, 0.03), ("train_fraction", 1, 0.01)])
def test_the_mean_accuracy_follows_what_varies(kind: str, sign: int, gap: float, tmp_path: Path) -> None:
    z = built(spec_of(kind, repeats=2), tmp_path)
    assert len(z) == 8
    assert settings_that_differ(z, list(HYPERPARAMETERS)) == {kind, "seed"}
    values = z.spec.grid[kind]
    assert values == sorted(values)
    means = [final(z.filter(**{kind: value}), "test_accuracy").mean() for value in values]
    assert all(sign * (after - before) > gap for before, after in pairwise(means)), means
    assert max(means) > 0.94


def test_wrong_labels_are_those_that_are_learnt(tmp_path: Path) -> None:
    z = built(spec_of("label_noise", repeats=1, grid={"label_noise": [0.0, 0.4]}), tmp_path)
    clean, noisy = final(z, "train_accuracy")
    assert clean > 0.99
    # Of the labels that it saw more than the six tenths that are right.
    assert noisy > 0.6
