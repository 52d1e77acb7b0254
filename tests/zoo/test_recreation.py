"""A row of the table alone makes its network again, bit for bit."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from trainers import NATIVE

import zoo
from zoo.__main__ import main
from zoo.comparing import compare

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


def test_a_stacked_network_is_made_again_up_to_rounding(small_spec: MakeSpec, tmp_path: Path, capsys) -> None:
    recipes = [{"factory": "mlp"}, {"factory": "resnet", "arguments": {"widths": [4], "blocks": [1]}}]
    spec = small_spec(recipes=recipes, members=6, random={}, trainer="stacked")
    z = zoo.build(spec, tmp_path / "zoo", workers=0, progress=False)
    for member in z:
        found = compare(member)
        assert found.holds, found
        assert (found.bound, len(found.differences)) == (1e-3, 2)
    assert main(["recreate", str(z.root), z[4].id]) == 0
    assert f"{z[4].id}: 2 states agree" in capsys.readouterr().out


def test_the_command_takes_numbers_and_ids_and_tells_what_differs(small_zoo: zoo.Zoo, monkeypatch, capsys) -> None:
    for row in ("3", small_zoo[3].id, small_zoo[3].id[:8]):
        assert main(["recreate", str(small_zoo.root), row, "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert (report["id"], report["same_bits"], report["bound"]) == (small_zoo[3].id, [True, True], 0.0)
    other = zoo.recreate(small_zoo[3]) * 2
    monkeypatch.setattr("zoo.comparing.recreate", lambda member, data: other)
    assert main(["recreate", str(small_zoo.root), "3"]) == 1
    assert "2 states DIFFER" in capsys.readouterr().out
    assert main(["recreate", str(small_zoo.root), "99"]) == 2
    assert "expected the id of one network, got '99'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "bound", "holds"),
    [
        (lambda w: w, 0.0, True),
        (lambda w: w * 1.0001, 0.0, False),
        (lambda w: w * 1.0001, 1e-3, True),
        (lambda w: w * 1.01, 1e-3, False),
        (lambda w: w * float("nan"), 1e-3, False),
    ],
)
def test_bounds(small_zoo: zoo.Zoo, monkeypatch, change: Callable, bound: float, holds: bool) -> None:
    monkeypatch.setattr("zoo.comparing.recreate", lambda member, data: change(member.trajectory()))
    monkeypatch.setattr("zoo.comparing.BOUNDS", {"reference": bound})
    assert compare(small_zoo[0]).holds == holds


def test_other_data_are_refused(small_zoo: zoo.Zoo) -> None:
    with pytest.raises(ValueError, match="expected the data that the zoo was begun with"):
        zoo.recreate({**small_zoo[0].row, "data": '{"source":"digits","limit":61}'})
