"""The Small CNN Zoo: 4970 parameters, everything drawn at random, nine epochs kept."""

from pathlib import Path

import torch
from shrinking import SPECS, built, settings_that_differ, spec_of

from graphs.recipe import Recipe
from zoo import ZooSpec

EPOCHS = [0, 1, 2, 3, 20, 40, 60, 80, 86]
DRAWN = ["activation", "init", "init_scale", "optimiser", "lr", "weight_decay", "dropout", "train_fraction", "seed"]


def test_networks_are_those_of_the_paper_and_differ_in_everything_that_it_draws(tmp_path: Path) -> None:
    z = built(spec_of("small_cnn_zoo", members=8, data={"source": "digits", "limit": 200}), tmp_path)
    assert [member.epochs for member in z] == [EPOCHS] * 8
    assert all(member.trajectory().shape == (9, 4970) for member in z)
    assert settings_that_differ(z, DRAWN) == set(DRAWN)
    assert settings_that_differ(z, ["recipe", "architecture", "batch_size"]) == {"recipe"}  # its activation and dropout
    learnt = [member.metrics["test_accuracy"][-1] > member.metrics["test_accuracy"][0] + 0.3 for member in z]
    assert 2 <= sum(learnt) < 8  # a zoo of good and bad networks


def test_images_of_mnist_give_as_many_parameters() -> None:
    (recipe,) = ZooSpec.from_yaml(SPECS / "small_cnn_zoo.yaml").recipes
    network = Recipe(recipe.factory, {**recipe.arguments, "input_shape": [1, 28, 28]}).build()
    assert sum(p.numel() for p in network.parameters()) == 4970
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
