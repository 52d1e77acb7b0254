"""The command ``metanets`` from a zoo to predictions, and what it says of bad input."""

import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import zoo
from graphs import Recipe
from metanets.__main__ import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small zoo of MLPs and CNNs."""
    path = tmp_path_factory.mktemp("zoo")
    recipes = (
        {"factory": "mlp", "arguments": {"hidden": [6]}},
        {"factory": "cnn", "arguments": {"channels": [3], "stride": 2}},
    )
    random = {"lr": {"loguniform": [1e-3, 1e-1]}}
    spec = {"data": {"source": "digits", "limit": 100}, "recipes": recipes, "random": random, "members": 40}
    zoo.build(zoo.ZooSpec.from_dict({**spec, "epochs": 2, "keep": [1, 2]}), path, workers=0, progress=False)
    return path


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small GMN trained on it."""
    out = tmp_path_factory.mktemp("runs") / "gmn"
    assert main(train(folder, out, "--model=gmn", "--arguments.width=8", "--arguments.depth=2")) == 0
    return out


def train(folder: Path, out: Path, *options: str) -> list[str]:
    return ["train", f"--zoo={folder}", f"--out={out}", "--steps=6", "--batch-size=8", "--no-progress", *options]


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["train"], ["eval"], ["predict"], ["list"]], ids=str)
def test_help_answers_at_once_without_torch(command: list[str]) -> None:
    code = "import sys; from metanets.__main__ import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    begun = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: metanets" in done.stdout
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begun < 1.0


def test_list_names_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    names = json.loads(capsys.readouterr().out)
    assert {"statnn", "flat-mlp", "ng-gnn", "gmn"} <= set(names)


@pytest.mark.parametrize("model", ["statnn", "flat-mlp", "ng-gnn"])
def test_every_model_trains_and_is_evaluated(model: str, folder: Path, tmp_path: Path) -> None:
    out, figures = tmp_path / "run", tmp_path / "figures.json"
    assert main(train(folder, out, f"--model={model}")) == 0
    assert main(["eval", f"--checkpoint={out}", f"--zoo={folder}", f"--json={figures}"]) == 0
    metrics, again = json.loads((out / "metrics.json").read_text()), json.loads(figures.read_text())
    assert metrics["states"] > 0
    assert again["mae"] == pytest.approx(metrics["mae"], abs=1e-6)


def test_training_writes_a_run_folder(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names == {
        "run.json", "log.jsonl", "checkpoint.safetensors", "model.safetensors", "config.json", "metrics.json",
        "predictions.json",
    }  # fmt: skip
    predictions = json.loads((trained / "predictions.json").read_text())
    assert len(predictions["name"]) == len(predictions["predicted"]) == len(predictions["true"])


def test_resumed_run_ends_in_the_same_weights(folder: Path, trained: Path, tmp_path: Path) -> None:
    options = ["--model=gmn", "--arguments.width=8", "--arguments.depth=2", "--checkpoint-minutes=0"]
    code = (
        "import os, sys, metanets.checkpointing as c\nsave = c.save\n"
        "def once(*a):\n    save(*a)\n    if a[3]['progress']['step'] == 3:\n        os.kill(os.getpid(), 9)\n"
        "c.save = once\nfrom metanets.__main__ import main\nmain(sys.argv[1:])"
    )
    out = tmp_path / "run"
    # As many threads as the tests use: sums over other blocks round otherwise.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *train(folder, out, *options)]
    killed = subprocess.run(command, capture_output=True, env=environment)
    assert killed.returncode == -9
    assert main(train(folder, out, *options, "--resume")) == 0
    assert (out / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_occupied_folder_is_not_overwritten(folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds a run already; go on with it by --resume" in error_of(capsys, *train(folder, trained, "--model=gmn"))
    message = error_of(capsys, *train(folder, trained, "--model=statnn", "--resume"))
    assert "holds another run (model was gmn, is statnn" in message


def test_options_come_from_yaml_too(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        f"zoo: {folder}\nmodel: statnn\nout: {tmp_path / 'run'}\nshuffle_targets: true\n"
    )
    assert main(["train", f"--config={tmp_path / 'run.yaml'}", "--seed=5"]) == 0
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["shuffle_targets"] is True
    assert run["seed"] == 5


def write_networks(path: Path, **arguments: object) -> None:
    path.mkdir(exist_ok=True)
    for index in range(3):
        torch.manual_seed(index)
        state = Recipe("mlp", {"hidden": [6], **arguments}).build().state_dict()
        save_file(state, path / f"net{index}.safetensors")
    torch.save({"state_dict": state, "epoch": 3}, path / "nested.pt")


def test_predicts_a_folder_of_state_dicts(trained: Path, tmp_path: Path) -> None:
    write_networks(tmp_path / "nets")
    command = ["predict", f"--checkpoint={trained}", f"--weights={tmp_path / 'nets'}", "--arch=mlp"]
    assert main([*command, '--arch-args={"hidden": [6]}', f"--json={tmp_path / 'p.json'}"]) == 0
    found = json.loads((tmp_path / "p.json").read_text())["predictions"]
    assert list(found) == ["nested.pt", "net0.safetensors", "net1.safetensors", "net2.safetensors"]
    assert found["nested.pt"] == pytest.approx(found["net2.safetensors"])
    assert 0 < found["net0.safetensors"] < 1


def test_predicts_a_zoo(trained: Path, folder: Path, tmp_path: Path) -> None:
    command = ["predict", f"--checkpoint={trained}", f"--zoo={folder}", "--split=test", f"--json={tmp_path / 'p.json'}"]
    assert main(command) == 0
    found = json.loads((tmp_path / "p.json").read_text())["predictions"]
    report = json.loads((trained / "predictions.json").read_text())
    assert found == pytest.approx(dict(zip(report["name"], report["predicted"], strict=True)), abs=1e-5)


def test_misfit_names_file_entry_and_shapes(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_networks(tmp_path / "nets")
    common = ["predict", f"--checkpoint={trained}", f"--weights={tmp_path / 'nets'}", "--arch=mlp"]
    message = error_of(capsys, *common, '--arch-args={"hidden": [7]}')
    assert "nested.pt: entry 'linear0.weight' does not fit" in message
    assert "expected shape (7, 64), found shape (6, 64)" in message
    message = error_of(capsys, *common, '--arch-args={"hidden": [6, 6]}')
    assert "entry 'linear1.weight' does not fit the architecture: expected shape (6, 6), found no such entry" in message


class Spy:
    """Unpickling this would leave a trace."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("unpickled"),))  # pyright: ignore[reportReturnType]


def test_pickles_are_not_executed(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "bad.pt").write_bytes(pickle.dumps(Spy()))
    message = error_of(capsys, "predict", f"--checkpoint={trained}", "--weights=nets", "--arch=mlp")
    assert "bad.pt cannot be read as a state dict" in message
    assert not (tmp_path / "unpickled").exists()
    torch.save(nn.Linear(2, 2), tmp_path / "nets" / "bad.pt")
    assert "cannot be read as a state dict" in error_of(
        capsys, "predict", f"--checkpoint={trained}", "--weights=nets", "--arch=mlp"
    )
    (tmp_path / "nets" / "bad.pt").unlink()
    (tmp_path / "nets" / "cut.safetensors").write_bytes(b"\x08\x00")
    assert "cut.safetensors cannot be read" in error_of(
        capsys, "predict", f"--checkpoint={trained}", "--weights=nets", "--arch=mlp"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--zoo=nowhere", "--model=gmn", "--out=o"], "expected a zoo in nowhere"),
        (["train", "--zoo={zoo}", "--model=gnm", "--out=o"], "unknown model 'gnm'; choose among flat-mlp, gmn"),
        (["train", "--zoo={zoo}", "--model=gmn", "--out=o", "--arguments.with=3"], "'gmn' has no keyword 'with'"),
        (["train", "--zoo={zoo}", "--model=gmn", "--out=o", "--precision=fp8"], "choose from fp32, bf16"),
        (["predict", "--checkpoint={run}"], "give --zoo FOLDER or --weights FOLDER, one of them; got neither"),
        (["predict", "--checkpoint={run}", "--weights=nowhere"], "--weights needs --arch"),
        (["predict", "--checkpoint={run}", "--weights=nowhere", "--arch=mlp"], "there is no folder nowhere"),
        (["predict", "--checkpoint={run}", "--weights={zoo}", "--arch=mlp", "--input-shape=1,x"], "such as 1,1,8,8"),
        (["eval", "--checkpoint={zoo}", "--zoo={zoo}"], "expected a saved model in"),
        (["eval", "--checkpoint={run}", "--zoo={zoo}", "--split=dev"], "unknown split 'dev'"),
        (["eval", "--checkpoint={run}", "--zoo={zoo}", "--device=tpu"], "no device 'tpu' on this machine; choose from"),
        (["train", "--zoo={zoo}", "--model=gmn", "--out=o", "--device=cuda:99"], "no device 'cuda:99' on this"),
        (["train", "--zoo={zoo}", "--model=gmn", "--out={zoo}/spec.yaml"], "spec.yaml is a file; name another"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_bad_input(
    arguments: list[str], message: str, folder: Path, trained: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert message in error_of(capsys, *[a.format(zoo=folder, run=trained) for a in arguments])


@pytest.mark.parametrize("mistake", ["--model=gnm", "--arguments.with=3", "--task=style", "--zoo=nowhere", "--lr=-1"])
def test_a_mistake_leaves_the_folder_free(mistake: str, folder: Path, tmp_path: Path) -> None:
    assert main(train(folder, tmp_path / "run", "--model=gmn", mistake)) == 2
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_model_but_no_run_is_kept(
    folder: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    (out / "run.json").unlink()
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for options in ([], ["--resume"]):
        message = error_of(capsys, *train(folder, out, "--model=statnn", *options))
        assert "holds checkpoint.safetensors and no run.json of a run; name a new or empty folder" in message
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    "content", [b"", b"hello world\n", b"acc: 0.5", b"weights\nhere", b"}q"], ids=["empty", "key", "pop", "text", "cut"]
)
def test_a_file_of_another_kind_is_one_line(
    content: bytes, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    message = error_of(capsys, "predict", f"--checkpoint={trained}", f"--weights={tmp_path}", "--arch=mlp")
    assert "a.pt cannot be read as a state dict: it is empty, damaged, another kind of file" in message
    assert "weights_only" not in message
    assert message.count("\n") == 1


def test_a_folder_named_as_a_file_is_passed_over(trained: Path, tmp_path: Path) -> None:
    write_networks(tmp_path)
    (tmp_path / "a.pt").mkdir()
    command = ["predict", f"--checkpoint={trained}", f"--weights={tmp_path}", "--arch=mlp"]
    assert main([*command, '--arch-args={"hidden": [6]}']) == 0


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (float("nan"), torch.float32, "holds 1 numbers that are not finite in torch.float32, of 6"),
        (1e300, torch.float64, "holds 1 numbers that are not finite in torch.float32, of 6"),
        (1j, torch.complex64, "is complex (torch.complex64), expected torch.float32"),
    ],
    ids=["nan", "too large", "complex"],
)
def test_weights_that_are_no_finite_reals_are_refused(
    value: Any, dtype: torch.dtype, message: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = Recipe("mlp", {"hidden": [6]}).build().state_dict()
    state["linear0.bias"] = state["linear0.bias"].to(dtype)
    state["linear0.bias"][2] = value
    torch.save(state, tmp_path / "net.pt")
    command = ["predict", f"--checkpoint={trained}", f"--weights={tmp_path}", "--arch=mlp"]
    assert f"net.pt: entry 'linear0.bias' {message}" in error_of(capsys, *command, '--arch-args={"hidden": [6]}')


def test_a_run_that_diverges_and_a_disk_that_refuses_are_one_line(
    folder: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model=flat-mlp", "--lr=1e20", "--clip=null", "--evaluations=1"]
    assert main(train(folder, tmp_path / "run", *options)) == 1
    assert "; that step was not taken. Lower lr (now 1e+20), set clip (now None)" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["eval", f"--checkpoint={trained}", f"--zoo={folder}", f"--json={tmp_path}/file/figures.json"]) == 1
    assert "metanets: [Errno" in capsys.readouterr().err


def test_clip_can_be_none(folder: Path, tmp_path: Path) -> None:
    assert main(train(folder, tmp_path / "run", "--model=flat-mlp", "--clip=null")) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["clip"] is None
