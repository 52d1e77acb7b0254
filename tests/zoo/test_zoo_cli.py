"""The command `zoo`: help that teaches and answers at once, exit codes, JSON."""

import json
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo
from zoo.__main__ import main

ROOT = Path(__file__).parents[2]
MakeSpec = Callable[..., zoo.ZooSpec]


@pytest.mark.parametrize(
    "command", [[], ["build"], ["info"], ["verify"], ["report"], ["recreate"], ["export"], ["push"]]
)
def test_help_teaches_in_a_second_of_cpu(command: list[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    arguments = [sys.executable, "-m", "zoo", *command, "--help"]
    shown = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "examples:" in shown
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_build_info_verify_recreate(small_spec: MakeSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(small_spec(members=4, trainer="stacked").to_yaml())
    out = str(tmp_path / "zoo")
    build = ["build", str(tmp_path / "s.yaml"), out, "--workers", "0", "--quiet"]
    assert main([*build, "--trainer", "reference"]) == 0
    assert f"{out}: 4 networks, 8 states" in capsys.readouterr().out
    # The trainer is part of the spec: another one is another zoo.
    assert main(build) == 2
    assert "trainer: 'reference' there, 'stacked' here" in capsys.readouterr().err
    assert main(["recreate", out, zoo.open(out)[2].id]) == 0
    assert "2 states agree bit for bit" in capsys.readouterr().out
    assert main(["info", out, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["members"], report["states"], report["complete"]) == (4, 8, True)
    assert report["trainers"] == [{"name": "reference", "why": "the spec asks for it", "members": 4}]
    final = [row["test_accuracy"][-1] for row in zoo.open(out).table.to_pylist()]
    assert report["metrics"]["test_accuracy"]["0.5"] == pytest.approx(statistics.median(final))


def test_other_data_take_the_place_of_the_specs_and_its_options_stay(
    small_spec: MakeSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "book.txt").write_text("to be or not to be, that is the question " * 9)
    spec = small_spec(data={"source": "text", "context": 8, "limit": 5}, recipes=["gpt"], members=1, random={})
    (tmp_path / "s.yaml").write_text(spec.to_yaml())
    build = ["build", str(tmp_path / "s.yaml"), str(tmp_path / "zoo"), "--workers", "0", "--quiet"]
    book = f"text:{tmp_path / 'book.txt'}"
    assert main([*build, "--data", book]) == 0
    member = zoo.open(tmp_path / "zoo")[0]
    assert json.loads(member.row["data"]) == {"source": book, "context": 8, "limit": 5}
    assert member.recipe["arguments"]["context"] == 8
    # The data are part of the spec, so that the same option goes on with the zoo.
    assert main([*build, "--data", book]) == 0
    assert main(build) == 2
    assert f"data: {{'source': '{book}'" in capsys.readouterr().err


def test_options_that_other_data_do_not_take_are_told(
    small_spec: MakeSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.yaml").write_text(small_spec(data={"source": "text", "context": 8}).to_yaml())
    assert main(["build", str(tmp_path / "s.yaml"), str(tmp_path / "zoo"), "--data", "digits"]) == 2
    assert "'digits' takes no options but limit and val_fraction, got ['context']" in capsys.readouterr().err


def test_info_as_text(small_zoo: zoo.Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(small_zoo.root)]) == 0
    shown = capsys.readouterr().out
    assert "12 (6 cnn, 6 mlp; 12 ok)" in shown
    assert "reference for 12: the spec asks for it" in shown
    assert "test_accuracy" in shown
    assert "median" in shown


def test_verify_names_the_damage_and_exits_1(
    tmp_path: Path, small_zoo: zoo.Zoo, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(small_zoo.root, tmp_path / "copy"))
    assert main(["verify", str(out)]) == 0
    path = out / "shards" / "shard-00003.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    capsys.readouterr()
    assert main(["verify", str(out), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["whole"] is False
    assert "shards/shard-00003.safetensors has 50 bytes" in report["problems"][0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["info", "nowhere"], "expected a zoo in nowhere"),
        (["verify", "nowhere"], "expected a zoo in nowhere"),
        (["build", "nowhere.yaml", "out"], "nowhere.yaml cannot be read"),
    ],
)
def test_a_callers_mistake_is_one_line_and_exit_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert told in shown
    assert shown.startswith("zoo: ")
    assert shown.count("\n") == 1


def test_a_missing_data_folder_and_source_are_told(small_spec: MakeSpec, tmp_path: Path) -> None:
    for source, told in (("/no/such/folder", "/no/such/folder"), ("mnits", "unknown data source 'mnits'")):
        with pytest.raises(ValueError, match=told):
            zoo.build(small_spec(data=source), tmp_path / "zoo", workers=0, progress=False)
        shutil.rmtree(tmp_path / "zoo")


def test_a_file_as_folder_and_a_binary_spec_are_told(
    small_spec: MakeSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.yaml").write_text(small_spec(members=2).to_yaml())
    (tmp_path / "afile").write_text("")
    for out in ("afile", "afile/zoo"):
        assert main(["build", str(tmp_path / "s.yaml"), str(tmp_path / out), "--workers", "0"]) == 2
        assert f"expected a folder to build into, but {tmp_path / out} is or lies in a file" in capsys.readouterr().err
    (tmp_path / "b.yaml").write_bytes(b"\x80\x81\xff")
    assert main(["build", str(tmp_path / "b.yaml"), str(tmp_path / "zoo")]) == 2
    assert f"{tmp_path / 'b.yaml'} is not YAML" in capsys.readouterr().err
