"""The scripts of graph hypernetworks: starts that cost nothing, counts of steps, bounds, scores of real networks."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import hypernets.tasks.commands
from hypernets.runs import TrainRun
from hypernets.tasks.images import Split

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import _ghn
import finetune_from_prediction as finetune
import ship_checkpoint
import train_ghn
from _results import row, write

from hypernets.ghn.training.sampled import sample

TINY = {"hidden": 8, "max_shape": [4, 4, 3, 3]}


def test_steps_are_counted_to_the_end_of_the_own_init() -> None:
    courses = {"own init": [10.0, 50.0, 90.0, 80.0], "a": [0.0, 79.0, 80.0, 1.0], "b": [1.0, 2.0, 3.0, 4.0]}
    assert finetune.steps_needed(courses) == {"own init": 10, "a": 10, "b": None}


def test_free_starts_have_the_norms_and_the_numbers_of_the_prediction() -> None:
    own = {"w": torch.randn(4, 5), "b": torch.zeros(3)}
    prediction = {"w": torch.randn(4, 5), "b": torch.randn(3)}
    scaled = finetune.rescaled(own, prediction)
    assert float(scaled["w"].norm()) == pytest.approx(float(prediction["w"].norm()))
    torch.testing.assert_close(scaled["w"] / scaled["w"].norm(), own["w"] / own["w"].norm())
    assert torch.equal(scaled["b"], own["b"])
    mixed = finetune.shuffled(prediction, seed=0)
    assert torch.equal(mixed["w"].flatten().sort()[0], prediction["w"].flatten().sort()[0])
    assert not torch.equal(mixed["w"], prediction["w"])


def test_a_prediction_that_is_never_sooner_fails() -> None:
    found = {n: {"own init": [0.0, 50.0, 60.0], "prediction": [0.0, 1.0, 2.0]} for n in range(10)}
    needed = {n: finetune.steps_needed(courses) for n, courses in found.items()}
    rows = finetune.summary(found, needed, Namespace(architectures=10))
    assert [r["holds"] for r in rows if r["bound"]] == [False]
    assert [r["bound"] for r in rows if r["bound"]] == [">= 8"]


@pytest.mark.parametrize(("ghn", "mlp", "holds"), [(45.0, 30.0, True), (39.0, 20.0, False), (50.0, 41.0, False)])
def test_the_bound_is_four_times_chance_and_ten_points_ahead(ghn: float, mlp: float, holds: bool) -> None:
    table = {"GHN-2": {"test": ghn, "wide": 1.0}, "MLP": {"test": mlp, "wide": 2.0}}
    rows = train_ghn.judged(table, small=True, chance=10.0)
    assert [r["holds"] for r in rows if r["bound"]] == [holds]
    assert len(rows) == 4


def test_accuracies_are_those_of_the_network_itself() -> None:
    sampled = sample("resnet", 1, input_shape=(1, 8, 8), outputs=10)
    weights = _ghn.own_init(sampled)
    assert all(
        torch.equal(w, again) for w, again in zip(weights.values(), _ghn.own_init(sampled).values(), strict=True)
    )
    net = sampled.recipe.build().train()
    net.load_state_dict(weights, strict=False)
    x = torch.randn(64, 1, 8, 8)
    split = Split(x, net(x).argmax(1))
    assert _ghn.accuracies([sampled], _ghn.own_init, split) == [100.0]


def test_a_training_counts_whole_and_for_its_options_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[TrainRun] = []

    def train(run: TrainRun) -> None:
        calls.append(run)
        # As of a run that was interrupted after 100 s.
        records = [{"event": "start", "step": 0, "seconds": 0.0}, {"event": "start", "step": 5, "seconds": 100.0}]
        (tmp_path / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))

    monkeypatch.setattr(hypernets.tasks.commands, "train", train)
    monkeypatch.setattr(hypernets, "load", str)
    run = TrainRun("digits", str(tmp_path), rates={"decoder": 0.5})
    assert _ghn.trained(run)[1] == pytest.approx(100, abs=1)
    assert _ghn.trained(run)[1] == pytest.approx(100, abs=1)
    assert len(calls) == 1
    _ghn.trained(replace(run, seed=1))
    assert [run.seed for run in calls] == [0, 1]


def test_a_card_says_what_its_files_say(tmp_path: Path) -> None:
    run = TrainRun(
        "digits", str(tmp_path / "run"), model="mlp", arguments=TINY, steps=2, architectures=1, pool=2, seed=3
    )
    _ghn.trained(replace(run, evaluations=1, progress=False, image_batch=4, meta_batch=1))
    rows = [row("GHN-2: test", 61.25, "%"), row("MLP: test", 50.0, "%"), row("all", 9.0, "s")]
    write(tmp_path / "found.json", rows, seed=3)
    given = ["--run", str(tmp_path / "run"), "--results", str(tmp_path / "found.json"), "--name", "tiny"]
    assert ship_checkpoint.main([*given, "--shipped", str(tmp_path)]) == 0
    card = (tmp_path / "tiny" / "README.md").read_text()
    assert "| GHN-2 | 61.2 |\n| MLP | 50.0 |\n" in card
    for said in ("2 of the space `deepnets_small`", "2 steps, each of 4 images", "Seed 3"):
        assert said in card
    assert hypernets.load(tmp_path / "tiny").config["trained_steps"] == 2


def test_both_models_are_given_their_steps_or_the_same_time(tmp_path: Path) -> None:
    given = train_ghn.parse(["--out", str(tmp_path)])
    runs = train_ghn.plan(given, tmp_path, small=True)
    assert {name: run.steps for name, run in runs.items()} == train_ghn.SMALL_STEPS
    given = train_ghn.parse(["--steps", "30"])
    assert [run.steps for run in train_ghn.plan(given, tmp_path, small=True).values()] == [30, 32]
    given = train_ghn.parse(["--hours", "2"])
    assert {(r.steps, r.minutes) for r in train_ghn.plan(given, tmp_path, small=False).values()} == {(None, 120.0)}
