"""What holds for every format: the folder is whole or not there, mistakes are told, the command says what it wrote."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from disks import files_up_to
from pyarrow import parquet

import zoo
from zoo import Zoo
from zoo.__main__ import main
from zoo.exporting.folders import whole_folder
from zoo.exporting.targets import TARGETS


# HDF5 itself cannot survive this limit, so it has a truly full disk below.
@pytest.mark.parametrize("to", sorted(TARGETS.keys() - {"hdf5"}))
def test_a_full_disk_leaves_nothing_and_the_next_try_works(varied_zoo: Zoo, tmp_path: Path, to: str) -> None:
    with files_up_to(30_000), pytest.raises(OSError):  # noqa: PT011 (each library words it in its own way)
        zoo.export(varied_zoo, to, tmp_path / "out", progress=False)
    assert list(tmp_path.iterdir()) == []
    zoo.export(varied_zoo, to, tmp_path / "out", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    about = yaml.safe_load((tmp_path / "out" / "about.yaml").read_text())
    assert (about["networks"], about["states"], about["families"]["resnet"]) == (15, 30, 3)
    assert not (tmp_path / "out" / ".lock").exists()


FULL = """
import sys
from pathlib import Path
import zoo
from zoo.exporting.targets import TARGETS
for to in TARGETS:
    try:
        zoo.export(sys.argv[1], to, Path(sys.argv[2]) / "out", progress=False)
    except OSError as error:
        print(to, list(Path(sys.argv[2]).iterdir()), flush=True)
"""


def test_a_small_disk_fills_in_every_format_and_stays_empty(varied_zoo: Zoo, tmp_path: Path) -> None:
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this system lets no process mount a small disk of its own (unshare -rm)")
    (tmp_path / "small").mkdir()
    mount = 'mount -t tmpfs -o size=160k tmpfs "$2" && exec "$3" -c "$4" "$1" "$2"'
    arguments = [varied_zoo.root, tmp_path / "small", sys.executable, FULL]
    done = subprocess.run(["unshare", "-rm", "sh", "-c", mount, "sh", *map(str, arguments)], capture_output=True)
    assert done.stdout.decode().splitlines() == [f"{to} []" for to in TARGETS], done.stderr.decode()
    assert done.returncode == 0


@pytest.mark.parametrize("to", TARGETS)
def test_a_damaged_shard_is_told_and_leaves_nothing(small_zoo: Zoo, tmp_path: Path, to: str) -> None:
    copy = Path(shutil.copytree(small_zoo.root, tmp_path / "zoo"))
    (copy / "shards" / "shard-00002.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"shard-00002.safetensors cannot be read \(it has 4 bytes"):
        zoo.export(copy, to, tmp_path / "out", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["zoo"]


def test_a_folder_that_is_not_free_is_left_as_it_is(small_zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=rf"expected {tmp_path} to be new or empty, but it holds mine.txt"):
        zoo.export(small_zoo, "hf", tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"mine\.txt is a file; give another name"):
        zoo.export(small_zoo, "hf", tmp_path / "mine.txt", progress=False)
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=rf"expected no folder {tmp_path / 'out.partial'}"):
        zoo.export(small_zoo, "hf", tmp_path / "out", progress=False)
    assert [path.read_text() for path in tmp_path.rglob("mine.txt")] == ["mine", "mine"]


def test_what_a_killed_export_left_is_written_anew(small_zoo: Zoo, tmp_path: Path) -> None:
    partial = tmp_path / "out.partial"
    (partial / "weights" / "half").mkdir(parents=True)
    for name in (".lock", "metadata.parquet"):
        (partial / name).write_text("left")
    zoo.export(small_zoo, "safetensors", tmp_path / "out", progress=False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["about.yaml", "metadata.parquet", "weights"]
    assert not (tmp_path / "out" / "weights" / "half").exists()
    assert not partial.exists()


def test_two_exports_into_one_folder_exclude_each_other(small_zoo: Zoo, tmp_path: Path) -> None:
    with whole_folder(tmp_path / "out") as folder:
        (folder / "first").write_text("first")
        with pytest.raises(ValueError, match="is at work in it"):
            zoo.export(small_zoo, "hf", tmp_path / "out", progress=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["first"]


def test_an_empty_folder_and_missing_parents_are_fine(small_zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for dest in (tmp_path / "empty", tmp_path / "a" / "b"):
        assert zoo.export(str(small_zoo.root), "safetensors", dest, progress=False) == dest
        assert (dest / "metadata.parquet").is_file()


def test_mistakes_are_told_before_anything_is_written(small_zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="to: expected one of hf, hdf5, pyg, safetensors, got 'csv'"):
        zoo.export(small_zoo, "csv", tmp_path / "out")
    with pytest.raises(ValueError, match=rf"nothing of {small_zoo.root} is left; widen the filter"):
        zoo.export(small_zoo.filter(lr=-1.0), "hf", tmp_path / "out")
    with pytest.raises(ValueError, match="states: expected one of all, final, got 'last'"):
        zoo.export(small_zoo, "hf", tmp_path / "out", states="last")
    with pytest.raises(ValueError, match="expected a zoo in"):
        zoo.export(tmp_path / "nowhere", "hf", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_zoo_is_told(small_zoo: Zoo, tmp_path: Path) -> None:
    empty = Path(shutil.copytree(small_zoo.root, tmp_path / "zoo"))
    manifest = empty / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(line for line in lines if b'"kind":"shard"' not in line))
    (empty / "table.arrow").unlink()
    with pytest.raises(ValueError, match=r"nothing of .* is left; .* wait until the first shard is safe"):
        zoo.export(empty, "hf", tmp_path / "out")


def test_the_command_filters_and_tells(small_zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", str(small_zoo.root), str(tmp_path / "out"), "--to", "safetensors", "--quiet"]
    where = ["--where", "activation=relu", "--where", "activation=tanh", "--where", "family=cnn", "--states", "final"]
    assert main([*command, *where, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "folder": str(tmp_path / "out"),
        "to": "safetensors",
        "networks": 6,
        "states": 6,
    }
    table = parquet.read_table(tmp_path / "out" / "metadata.parquet")
    assert table["family"].to_pylist() == ["cnn"] * 6
    assert main(command) == 2
    assert "to be new or empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("status", "expected a condition NAME=VALUE such as status=ok, got 'status'"),
        ("stattus=ok", "unknown column 'stattus'"),
        ("lr=fast", "lr: expected a value of type double, got 'fast'"),
        ("epochs=2", "got 'epochs', which is list"),
        ("lr=17", "is left; widen the filter"),
    ],
)
def test_a_bad_condition_is_one_line_and_exit_2(
    small_zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str], condition: str, told: str
) -> None:
    command = ["export", str(small_zoo.root), str(tmp_path / "out"), "--to", "hf", "--where", condition]
    assert main(command) == 2
    shown = capsys.readouterr().err
    assert told in shown
    assert shown.count("\n") == 1


def test_it_shows_a_progress_bar(small_zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zoo.export(small_zoo, "hdf5", tmp_path / "out")
    assert "24/24" in capsys.readouterr().err
