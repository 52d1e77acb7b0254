"""The seed zoo: nothing differs but chance."""

from pathlib import Path

import torch
from shrinking import built, final, settings_that_differ, spec_of

from zoo.hyperparameters import HYPERPARAMETERS


def test_networks_differ_by_their_seeds_alone_and_do_equally_well(tmp_path: Path) -> None:
    z = built(spec_of("seed_zoo", members=8, epochs=15, keep=(0, 15)), tmp_path)
    names = [*HYPERPARAMETERS, "recipe", "train_epochs", "batch_size", "data_fingerprint"]
    assert settings_that_differ(z, names) == {"seed"}
    assert len(set(z.table["seed"].to_pylist())) == 8
    accuracies = final(z, "test_accuracy")
    assert accuracies.min() > 0.88
    assert accuracies.max() - accuracies.min() < 0.08
    for state in (0, -1):
        weights = torch.stack([member.flat(state) for member in z])
        alike = torch.corrcoef(weights) - torch.eye(8)
        assert alike.abs().max() < 0.5  # other minima, not the same one found again
