"""The command train: a folder with a model that predicts, gone on with by --resume, refused where options differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import hypernets
from graphs import sample_architecture
from hypernets.__main__ import main
from hypernets.tasks.images import read

OPTIONS = [
    "train", "--data=digits", "--space=cnn", "--steps=4", "--meta-batch=2", "--image-batch=16", "--architectures=2",
    "--evaluations=1", "--pool=3", "--limit=60", '--arguments={"hidden": 8, "max_shape": [8, 8, 3, 3]}',
    "--no-progress",
]  # fmt: skip


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
    from dataclasses import asdict

    from hypernets.runs import TrainRun

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
