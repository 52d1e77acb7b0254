"""The command train: a folder with a model that predicts, gone on with by --resume, refused where options differ."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

import hypernets
from graphs import sample_architecture
from hypernets.__main__ import main
from hypernets.ghn.training.sampled import sample
from hypernets.ghn.training.stream import CHOOSING, HELD_OUT
from hypernets.runs import TrainRun
from hypernets.tasks import commands
from hypernets.tasks.images import read
from metanets import distributed
from metanets.fit_settings import FitResult
from metanets.json_files import write_json

OPTIONS = [
    "train", "--data=digits", "--space=cnn", "--steps=4", "--meta-batch=2", "--image-batch=16", "--architectures=2",
    "--evaluations=1", "--pool=3", "--limit=60", '--arguments={"hidden": 8, "max_shape": [8, 8, 3, 3]}',
    "--no-progress",
]  # fmt: skip


SMALL: dict[str, Any] = {
    "space": "cnn", "steps": 1, "meta_batch": 1, "image_batch": 16, "architectures": 3, "limit": 60, "progress": False,
    "arguments": {"hidden": 8, "max_shape": [8, 8, 3, 3]},
}  # fmt: skip


def test_a_run_leaves_a_model_that_predicts(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main([*OPTIONS, f"--out={out}"]) == 0
    model = hypernets.load(out)
    assert model.config["trained_steps"] == 4
    net = sample_architecture("cnn", 0, input_shape=(1, 8, 8), outputs=10).build()
    weights, _ = model.predict(net, torch.zeros(2, 1, 8, 8))
    assert weights.keys() == net.state_dict().keys()
    metrics = json.loads((out / "metrics.json").read_text())
    assert 0 <= metrics["accuracy"] <= 1
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert {"images_per_second", "architectures_per_second", "loss"} <= rows[1].keys()


def test_a_run_is_gone_on_with_and_equals_one_without_a_break(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main([*OPTIONS, f"--out={whole}"]) == 0
    # More steps later: the learning rate of the first part is then another, so the end is compared after a resume
    # that has nothing left to do.
    assert main([*OPTIONS, f"--out={broken}"]) == 0
    (broken / "model.safetensors").unlink()
    assert main([*OPTIONS, f"--out={broken}", "--resume"]) == 0
    assert (whole / "model.safetensors").read_bytes() == (broken / "model.safetensors").read_bytes()


def test_what_chooses_the_weights_is_in_no_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def fitted(model: Any, task: Any, train: Any, val: Any, **_: Any) -> FitResult:
        assert len(val) == len(asked) == 3
        return FitResult(0, 0.0, "budget", {}, 0)

    monkeypatch.setattr(commands, "fit", fitted)
    monkeypatch.setattr(commands, "sample", lambda *a, **k: asked.append(a[1]) or sample(*a, **k))
    commands.train(TrainRun("digits", str(tmp_path), **SMALL))
    assert asked[3:] == [0, 1, 2]
    # The scripts test on the first architectures, however many.
    assert all(CHOOSING <= seed < HELD_OUT for seed in asked[:3])
    with pytest.raises(ValueError, match="expected architectures <= 5000"):
        commands.train(TrainRun("digits", str(tmp_path / "more"), **{**SMALL, "architectures": 5001}))


def test_of_several_processes_the_first_alone_claims_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    write_json(tmp_path / "run.json", {"data": "claimed by the first"})
    commands.train(TrainRun("digits", str(tmp_path), **SMALL))
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--lr=0.5", "--resume"], "lr was 0.001, is 0.5"),
        ([], "holds a run already; go on with it by --resume"),
    ],
)
def test_another_run_in_the_folder_is_refused(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text(json.dumps(asdict(TrainRun("digits", str(tmp_path)))))
    assert main(["train", "--data=digits", f"--out={tmp_path}", *more]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--augment=zoom", "unknown augment 'zoom'; choose from none, shift, shift-mirror"),
        ("--meta-batch=0", "expected meta_batch >= 1, got 0"),
        ("--image-batch=1", "expected image_batch >= 2"),
        ("--model=ghn9", "unknown model 'ghn9'"),
        ("--optimiser=sgd", "unknown optimiser 'sgd'; choose from adamw, adam"),
    ],
)
def test_wrong_options_are_named(option: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*OPTIONS, f"--out={tmp_path / 'run'}", option]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_images_are_standardised_by_the_training_ones() -> None:
    images = read("digits")
    assert images.shape == (1, 8, 8)
    assert images.num_classes == 10
    assert float(images.train.x.mean()) == pytest.approx(0, abs=1e-5)
    assert float(images.train.x.std()) == pytest.approx(1, abs=1e-5)
    assert len(images.train.x) + len(images.val.x) + len(images.test.x) == 1797
