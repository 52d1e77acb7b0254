"""The CNN Wild Park: every network has an architecture of its own, within the ranges that were published."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from trainers import NATIVE

from graphs.families.residual import Residual
from zoo import Zoo, ZooSpec, build, recreate

SPEC = Path(__file__).parents[3] / "scripts" / "specs" / "cnn_wild_park.yaml"
MEMBERS = 8


@pytest.fixture(scope="module")
def park(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """Eight networks of the very spec, on fewer digits and for fewer epochs."""
    spec = ZooSpec.from_yaml(SPEC)
    (recipe,) = spec.recipes
    small = replace(
        spec,
        data={"source": "digits", "limit": 400},
        recipes=(replace(recipe, architectures=MEMBERS),),
        members=MEMBERS,
        epochs=10,
        keep=(0, 10),
    )
    return build(small, tmp_path_factory.mktemp("park") / "zoo", workers=0, progress=False)


def drawn(zoo: Zoo, name: str) -> list:
    return [member.recipe["arguments"][name] for member in zoo]


def test_every_network_has_an_architecture_of_its_own(park: Zoo) -> None:
    assert len(park) == MEMBERS
    assert len(set(park.arrow_column("architecture").to_pylist())) == MEMBERS
    assert len({member.topology.digest for member in park}) == MEMBERS


def test_architectures_vary_within_the_published_ranges(park: Zoo) -> None:
    depths = {len(channels) for channels in drawn(park, "channels")}
    assert depths <= {2, 3, 4, 5}
    assert len(depths) >= 3
    for name, published in {
        "channels": {4, 8, 16, 32},
        "kernel": {3, 5, 7},
        "activation": {"relu", "gelu", "tanh", "sigmoid", "leaky_relu", "identity"},
    }.items():
        found = {value for values in drawn(park, name) for value in values}
        assert found <= published
        assert len(found) >= 3, name
        assert any(len(set(values)) > 1 for values in drawn(park, name)), f"{name} differs between layers"


def test_some_networks_have_skips(park: Zoo) -> None:
    skips = [any(isinstance(m, Residual) for m in member.module().modules()) for member in park]
    assert 0 < sum(skips) < MEMBERS
    assert skips == drawn(park, "residual")


def test_the_networks_learn(park: Zoo) -> None:
    """Better than one guess in ten, though some (sigmoids upon sigmoids) take longer than these ten epochs."""
    accuracy, loss = (
        np.array(park.arrow_column(name).to_pylist()) for name in ("test_accuracy", "train_loss")
    )  # [E, T]
    assert np.median(accuracy[:, 0]) < 0.2
    assert np.median(accuracy[:, -1]) > 0.3
    assert (loss[:, -1] < loss[:, 0]).all()


def test_no_network_is_left_to_the_reference_trainer(park: Zoo) -> None:
    assert set(park.arrow_column("trainer").to_pylist()) <= {"native", "stacked"}


@pytest.mark.parametrize("trainer", [NATIVE])
def test_a_network_can_be_made_again_from_its_row(park: Zoo, trainer: str) -> None:
    member = next(m for m in park if m.recipe["arguments"]["residual"])
    assert member.row["trainer"] == trainer
    assert (recreate(member.row) == member.trajectory()).all()
