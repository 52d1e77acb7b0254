"""A row of the table alone makes its network again, bit for bit."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from trainers import NATIVE

import zoo

MakeSpec = Callable[..., zoo.ZooSpec]


@pytest.mark.parametrize("trainer", ["reference", NATIVE])
def test_ten_random_members_are_made_again_from_their_rows(small_spec: MakeSpec, tmp_path: Path, trainer: str) -> None:
    varied = {
        "activation": ["relu", "tanh", "sigmoid", "gelu", "silu", "leaky_relu"],
        "init": ["default", "normal", "kaiming_uniform"],
        "init_scale": {"uniform": [0.5, 2]},
        "optimiser": ["sgd", "adam", "adamw"],
        "lr": {"loguniform": [1e-4, 1e-1]},
        "weight_decay": {"loguniform": [1e-5, 1e-1]},
        "dropout": [0.0, 0.5],
        "train_fraction": {"uniform": [0.3, 1]},
    }
    z = zoo.build(small_spec(members=24, random=varied, trainer=trainer), tmp_path / "zoo", workers=1, progress=False)
    for number in random.Random(0).sample(range(24), 10):
        row = dict(z[number].row)
        again = zoo.recreate(row)
        # Bits, not values: NaN equals NaN here, and -0 differs from 0.
        assert torch.equal(again.view(torch.int32), z[number].trajectory().view(torch.int32)), row


def test_a_stacked_network_is_refused(small_spec: MakeSpec, tmp_path: Path) -> None:
    z = zoo.build(small_spec(trainer="stacked", members=2), tmp_path / "zoo", workers=0, progress=False)
    with pytest.raises(ValueError, match=f"got {z[0].id}, which the stacked trainer made"):
        zoo.recreate(z[0])


def test_other_data_are_refused(small_zoo: zoo.Zoo) -> None:
    with pytest.raises(ValueError, match="expected the data that the zoo was begun with"):
        zoo.recreate({**small_zoo[0].row, "data": '{"source":"digits","limit":61}'})
