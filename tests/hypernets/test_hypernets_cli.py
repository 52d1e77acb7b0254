"""The command ``hypernets``: from a checkpoint and a user's factory to a file, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model

import hypernets
import metanets
from hypernets.__main__ import main
from hypernets.hub import SHIPPED

FACTORY = """
from torch import nn
def net(width=8, classes=10):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))
def ready(width=8):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(36 * width, 10))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a checkpoint and a module of a user's own."""
    torch.manual_seed(0)
    hypernets.create("ghn2", hidden=8, max_shape=(8, 8, 3, 3)).save_pretrained(tmp_path / "ghn")
    (tmp_path / "user_nets.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


ARCH = ["--arch", "user_nets:ready", "--input-shape", "2,3,8,8"]


@pytest.mark.parametrize("more", [[], ["--stream"]])
def test_predict(folder: Path, capsys: pytest.CaptureFixture, more: list[str]) -> None:
    arguments = ["predict", "ghn", *ARCH, "--arch-args", '{"width": 12}', "--out", "w.safetensors", "--report"]
    assert main([*arguments, "--json", "r.json", *more]) == 0
    from user_nets import ready  # pyright: ignore[reportMissingImports]

    load_model(ready(12), folder / "w.safetensors")
    printed = capsys.readouterr().out
    assert "0.weight   12x3x3x3  predicted  weight" in printed
    assert "tiled 2 x 1" in printed
    assert "(100.0%)" in printed
    assert "untrained" in printed
    assert json.loads((folder / "r.json").read_text())["share"] == 1


def test_tokens_and_built_in_families(folder: Path) -> None:
    assert main(["predict", "ghn", "--arch", "gpt", "--out", "a.safetensors"]) == 0
    given = ["--input-shape", "1,5", "--input-max", "32", "--out", "b.safetensors"]
    assert main(["predict", "ghn", "--arch", "gpt", *given]) == 0
    assert (folder / "a.safetensors").stat().st_size == (folder / "b.safetensors").stat().st_size


def test_list_and_show(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed == {"models": hypernets.list_models(), "checkpoints": hypernets.list_checkpoints()}
    assert main(["show", "ghn", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["model"], facts["hidden"], facts["trained_steps"]) == ("ghn2", 8, 0)
    assert facts["primitives"][:2] == ["max_pool", "avg_pool"]


def test_a_shipped_checkpoint_works_out_of_the_box(folder: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["predict", "ghn2-digits", "--arch", "cnn", "--arch-args", '{"input_shape": [1, 8, 8]}']
    assert main([*arguments, "--out", "w.safetensors"]) == 0
    assert "untrained" not in capsys.readouterr().out
    for name in hypernets.list_checkpoints():
        assert hypernets.load(name).config["trained_steps"] > 1000
        size = sum(file.stat().st_size for file in (SHIPPED / name).iterdir())
        assert {file.name for file in (SHIPPED / name).iterdir()} == {"README.md", "config.json", "model.safetensors"}
        assert size < 15e6


def test_help_teaches(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert "\n  hypernets predict CHECKPOINT --arch my_code:make_net --input-shape 1,3,32,32" in capsys.readouterr().out


BAD = {
    "no checkpoint": (["nowhere", *ARCH], "there is no nowhere"),
    "another kind": (["other", *ARCH], "unknown model 'flat-mlp'; choose among"),
    "no module": (["ghn", "--arch", "absent:net", "--input-shape", "1,3"], "cannot import the module 'absent'"),
    "no shape": (["ghn", "--arch", "user_nets:ready"], "expected a shape for each of them"),
    "channels": (["ghn", *ARCH[:2], "--input-shape", "2,4,8,8"], "to have 3 channels, but got 4"),
    "lazy": (["ghn", "--arch", "user_nets:net", *ARCH[2:]], "whose shapes are not known yet; run it once"),
    "no number": (["ghn", *ARCH, "--input-max", "many"], "expected --input-max of type int, got 'many'"),
    "no safetensors": (["ghn", *ARCH, "--out", "w.pt"], "expected --out FILE.safetensors, got 'w.pt'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(folder: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    metanets.create("flat-mlp", out=1, max_parameters=10).save_pretrained(folder / "other")
    arguments, said = BAD[name]
    out = [] if "--out" in arguments else ["--out", "w.safetensors"]
    assert main(["predict", *arguments, *out]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(folder.glob("*.safetensors*"))
