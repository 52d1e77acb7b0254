"""Killed, damaged or interrupted at any moment, a build goes on to the same bytes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from trainers import TRAINERS

import zoo
from zoo.manifest import NAME, Manifest
from zoo.shards import Shard

ROOT = Path(__file__).parents[2]
MakeSpec = Callable[..., zoo.ZooSpec]
Content = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def kill_spec(small_spec: MakeSpec) -> zoo.ZooSpec:
    """Thirty networks of the reference trainer in fifteen shards of some .1 s."""
    return small_spec(data={"source": "digits", "limit": 600}, members=30, epochs=6, keep=[0, 3, 6], shard_size=2)


def start(spec: zoo.ZooSpec, root: Path, workers: int, folder: Path) -> "subprocess.Popen[str]":
    """`zoo build` in a process group of its own, as from a terminal."""
    path = folder / "spec.yaml"
    path.write_text(spec.to_yaml())
    command = [sys.executable, "-m", "zoo", "build", str(path), str(root), "--workers", str(workers), "--quiet"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
        text=True,
        stderr=subprocess.PIPE,
        # A suite that runs in the background ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def acknowledged(root: Path) -> int:
    path = root / NAME
    return path.read_bytes().count(b'"kind":"shard"') if path.exists() else 0


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]", seconds: float = 60) -> None:
    """Until the condition holds or the process has ended."""
    end = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < end, "the build made no progress"
        time.sleep(0.002)


def kill_at_random(process: "subprocess.Popen[str]", root: Path, rng: random.Random) -> bool:
    """Kill the whole group, while it starts or a random while after some shards; whether it was still running."""
    if rng.random() < 0.2:
        time.sleep(rng.uniform(0, 3))
    else:
        target = acknowledged(root) + rng.randrange(3)
        wait_for(lambda: acknowledged(root) > target, process)
        time.sleep(rng.uniform(0, 0.3))
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    _, errors = process.communicate()
    # It may end by itself just before the kill, but then well.
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode != 0


def kill_often(times: int, spec: zoo.ZooSpec, content: Content, tmp_path: Path, seed: int) -> None:
    undisturbed = zoo.build(spec, tmp_path / "undisturbed", workers=0, progress=False)
    rng, kills, rounds, root = random.Random(seed), 0, 0, tmp_path / "zoo0"
    while kills < times:
        killed = kill_at_random(start(spec, root, rng.choice([1, 1, 2]), tmp_path), root, rng)
        kills += killed
        if (root / NAME).exists():
            assert_safe(root, undisturbed)
        if not killed:
            assert content(root) == content(undisturbed.root)
            rounds, root = rounds + 1, tmp_path / f"zoo{rounds + 1}"
    process = start(spec, root, 2, tmp_path)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert content(root) == content(undisturbed.root)
    assert zoo.verify(root) == []


def assert_safe(root: Path, undisturbed: zoo.Zoo) -> None:
    """Every acknowledged shard has the bytes of the undisturbed build, and the folder opens as it is."""
    for record in Manifest.read(root).shards.values():
        assert (root / record["file"]).read_bytes() == (undisturbed.root / record["file"]).read_bytes()
    assert zoo.verify(root) == []
    for member in zoo.open(root):
        assert member.row == undisturbed.find(member.id).row


def test_five_random_kills_end_in_the_same_bytes(kill_spec: zoo.ZooSpec, content: Content, tmp_path: Path) -> None:
    kill_often(5, kill_spec, content, tmp_path, seed=1)


@pytest.mark.slow
def test_twenty_random_kills_end_in_the_same_bytes(kill_spec: zoo.ZooSpec, content: Content, tmp_path: Path) -> None:
    kill_often(20, kill_spec, content, tmp_path, seed=2)


def worker_of(process: "subprocess.Popen[str]") -> psutil.Process:
    (worker,) = psutil.Process(process.pid).children()
    return worker


def test_a_dead_worker_is_replaced(kill_spec: zoo.ZooSpec, tmp_path: Path) -> None:
    root = tmp_path / "zoo"
    process = start(kill_spec, root, 1, tmp_path)
    wait_for(lambda: acknowledged(root) > 8, process)
    worker_of(process).kill()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert len(zoo.open(root)) == 30
    assert zoo.verify(root) == []


def test_a_worker_ends_with_its_builder(kill_spec: zoo.ZooSpec, tmp_path: Path) -> None:
    root = tmp_path / "zoo"
    process = start(kill_spec, root, 1, tmp_path)
    wait_for(lambda: acknowledged(root) > 0, process)
    worker = worker_of(process)
    process.kill()
    process.communicate()
    worker.wait(timeout=10)


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(small_spec: MakeSpec, tmp_path: Path) -> None:
    # Far more than is trained before the signal arrives.
    spec = small_spec(data={"source": "digits", "limit": 600}, members=600, epochs=6, keep=[0, 3, 6], shard_size=2)
    root = tmp_path / "zoo"
    process = start(spec, root, 1, tmp_path)
    wait_for(lambda: acknowledged(root) > 0, process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"of 600 networks are safe in {root}" in errors
    assert f"zoo build {root}/spec.yaml {root}" in errors
    assert "Traceback" not in errors
    assert zoo.verify(root) == []
    assert len(zoo.open(root)) == 2 * acknowledged(root)
    # No worker is left behind: the group is empty.
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_two_builders_exclude_each_other(kill_spec: zoo.ZooSpec, tmp_path: Path) -> None:
    root = tmp_path / "zoo"
    process = start(kill_spec, root, 1, tmp_path)
    try:
        wait_for(lambda: acknowledged(root) > 0, process)
        with pytest.raises(ValueError, match=f"another build is at work in it \\(process {process.pid} on "):
            zoo.build(kill_spec, root, workers=0, progress=False)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    # The lock died with its holder.
    zoo.build(kill_spec, root, workers=0, progress=False)


@pytest.fixture
def copy(tmp_path: Path, small_zoo: zoo.Zoo) -> Path:
    """A zoo to damage."""
    return Path(shutil.copytree(small_zoo.root, tmp_path / "copy"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "corrupted": (flip, "has other contents than its checksum says"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:100]), "has 100 bytes, expected"),
    "deleted": (lambda path: path.unlink(), "is missing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_named_and_trained_again_alone(
    small_spec: MakeSpec,
    content: Content,
    copy: Path,
    small_zoo: zoo.Zoo,
    damage: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    harm, told = DAMAGES[damage]
    name = "shards/shard-00002.safetensors"
    harm(copy / name)
    assert [problem for problem in zoo.verify(copy) if name in problem and told in problem] == zoo.verify(copy) != []
    times = {path: path.stat().st_mtime_ns for path in copy.rglob("*.safetensors") if path.name not in name}
    zoo.build(small_spec(), copy, workers=0, progress=False)
    assert name in capfd.readouterr().err
    assert content(copy) == content(small_zoo.root)
    assert zoo.verify(copy) == []
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_a_truncated_shard_is_named_when_read(copy: Path) -> None:
    path = copy / "shards" / "shard-00000.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"shard-00000.safetensors cannot be read.*zoo verify"):
        Shard.open(path)


@pytest.mark.parametrize("name", ["table.arrow", "recipes.json"])
def test_a_damaged_derived_file_is_made_again(
    small_spec: MakeSpec, content: Content, copy: Path, small_zoo: zoo.Zoo, name: str
) -> None:
    flip(copy / name)
    assert len(zoo.verify(copy)) == 1
    zoo.build(small_spec(), copy, workers=0, progress=False)
    assert content(copy) == content(small_zoo.root)


@pytest.mark.parametrize("cut", [1, 30])
def test_a_torn_manifest_is_read_and_repaired(
    small_spec: MakeSpec, content: Content, copy: Path, small_zoo: zoo.Zoo, cut: int
) -> None:
    """A crash during an append leaves part of the last line, here that of the last shard."""
    lines = (copy / NAME).read_bytes().splitlines(keepends=True)[:-1]
    (copy / NAME).write_bytes(b"".join(lines)[:-cut])
    (copy / "table.arrow").unlink()
    (copy / "shards" / "shard-00001.safetensors.99.tmp").write_bytes(b"left by a killed worker")
    assert 9 <= len(zoo.open(copy)) <= 12
    zoo.build(small_spec(), copy, workers=0, progress=False)
    assert content(copy) == content(small_zoo.root)
    assert zoo.verify(copy) == []
    assert (copy / NAME).read_bytes().endswith(b"}\n")
    assert not list(copy.rglob("*.tmp"))


def test_an_unreadable_line_costs_its_shard_alone(
    small_spec: MakeSpec, content: Content, copy: Path, small_zoo: zoo.Zoo
) -> None:
    lines = (copy / NAME).read_bytes().splitlines(keepends=True)
    lines[4] = b"\x00" * 20 + b"\n"
    (copy / NAME).write_bytes(b"".join(lines))
    assert zoo.verify(copy) == ["manifest.jsonl: line 5 cannot be read"]
    with pytest.raises(ValueError, match="no readable line for shard 1"):
        zoo.open(copy)[3].flat()
    zoo.build(small_spec(), copy, workers=0, progress=False)
    assert content(copy) == content(small_zoo.root)
    assert zoo.verify(copy) == []


def test_a_manifest_without_header_is_told(small_spec: MakeSpec, copy: Path) -> None:
    (copy / NAME).write_bytes(b"")
    with pytest.raises(ValueError, match="expected a header in line 1"):
        zoo.build(small_spec(), copy, workers=0, progress=False)


def test_a_whole_zoo_is_left_alone(small_spec: MakeSpec, copy: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file() and path.name != ".lock"}
    assert len(zoo.build(small_spec(), copy, workers=0, progress=False)) == 12
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_another_spec_is_refused_with_the_difference(
    small_spec: MakeSpec, content: Content, copy: Path, small_zoo: zoo.Zoo
) -> None:
    with pytest.raises(ValueError, match="holds the zoo of another spec \\(epochs: 2 there, 3 here\\)"):
        zoo.build(small_spec(epochs=3), copy, workers=0, progress=False)
    assert content(copy) == content(small_zoo.root)


def test_a_folder_of_something_else_is_refused(small_spec: MakeSpec, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"new, empty or a zoo, but it holds thesis.tex"):
        zoo.build(small_spec(), tmp_path, workers=0, progress=False)


def test_foreign_files_in_a_folder_are_refused_and_kept(small_spec: MakeSpec, tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for name in ("thesis.tmp", "shards/mine.tmp"):
        (tmp_path / name).write_text("years of work")
        with pytest.raises(ValueError, match=f"but it holds {name}"):
            zoo.build(small_spec(), tmp_path, workers=0, progress=False)
        (tmp_path / name).unlink()


def test_a_builder_deletes_its_own_temporaries_alone(small_spec: MakeSpec, copy: Path) -> None:
    mine = [copy / "notes.tmp", copy / "shards" / "a.7.tmp", copy / "figures.tmp" / "shard-1.safetensors.7.tmp"]
    ours = [copy / "table.arrow.7.tmp", copy / "topologies" / "12ab.json.7.tmp"]
    mine[-1].parent.mkdir()
    for path in (*mine, *ours):
        path.write_text("text")
    zoo.build(small_spec(), copy, workers=0, progress=False)
    assert [path.exists() for path in (*mine, *ours)] == [True] * 3 + [False] * 2


def test_a_lost_manifest_deletes_nothing(
    small_spec: MakeSpec, content: Content, copy: Path, small_zoo: zoo.Zoo
) -> None:
    (copy / NAME).unlink()
    with pytest.raises(
        ValueError, match=r"manifest.jsonl beside the 4 shards .* restore it from a copy, or build into"
    ):
        zoo.build(small_spec(), copy, workers=0, progress=False)
    assert content(copy) == content(small_zoo.root)


def test_a_spec_without_manifest_is_replaced_unless_written_by_hand(small_spec: MakeSpec, tmp_path: Path) -> None:
    path, spec = tmp_path / "spec.yaml", small_spec(members=2)
    path.write_text(small_spec(members=3).to_yaml())
    assert len(zoo.build(spec, tmp_path, workers=0, progress=False)) == 2
    (other := tmp_path / "other").mkdir()
    (other / "spec.yaml").write_text("# mine\n" + spec.to_yaml())
    with pytest.raises(ValueError, match="members: 2 there, 3 here"):
        zoo.build(small_spec(members=3), other, workers=0, progress=False)
    assert len(zoo.build(spec, other, workers=0, progress=False)) == 2
    assert (other / "spec.yaml").read_text().startswith("# mine")


@pytest.mark.parametrize("harm", [lambda path: path.write_text(path.read_text()[:300]), lambda path: path.unlink()])
def test_a_damaged_spec_in_a_zoo_is_named_and_mended(
    small_spec: MakeSpec, content: Content, copy: Path, small_zoo: zoo.Zoo, harm: Callable[[Path], object]
) -> None:
    harm(copy / "spec.yaml")
    with pytest.raises(ValueError, match=r"(?s)spec.yaml.*; the file is damaged or lost: `zoo build`"):
        zoo.verify(copy)
    with pytest.raises(ValueError, match=r"(?s)spec.yaml.*; the file is damaged or lost: give `zoo build` the spec"):
        zoo.build(small_spec(epochs=3), copy, workers=0, progress=False)
    zoo.build(small_spec(), copy, workers=0, progress=False)
    assert content(copy) == content(small_zoo.root)


def test_a_damaged_recipes_file_is_named(small_spec: MakeSpec, copy: Path) -> None:
    (copy / "recipes.json").write_bytes((copy / "recipes.json").read_bytes()[:100])
    for read in (lambda: zoo.open(copy)[0].graph(), lambda: zoo.info(copy)):
        with pytest.raises(ValueError, match=r"recipes.json is damaged .*`zoo build` with the same spec mends it"):
            read()


def test_other_versions_are_refused_only_when_something_is_left_to_train(small_spec: MakeSpec, copy: Path) -> None:
    text = (copy / NAME).read_text().replace('"torch":"', '"torch":"0.')
    (copy / NAME).write_text(text)
    zoo.build(small_spec(), copy, workers=0, progress=False)
    (copy / NAME).write_text(text.splitlines()[0] + "\n")
    with pytest.raises(ValueError, match="begun with other versions \\(torch 0"):
        zoo.build(small_spec(), copy, workers=0, progress=False)


def test_a_spec_edited_after_the_beginning_is_refused_with_the_change(
    small_spec: MakeSpec, content: Content, copy: Path, small_zoo: zoo.Zoo
) -> None:
    path = copy / "spec.yaml"
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 3"))
    # Whether the edited spec is given or the old one.
    for spec in (zoo.ZooSpec.from_yaml(path), small_spec()):
        with pytest.raises(ValueError, match=r"edited after the build began \(epochs: 2 when begun, 3 now\)"):
            zoo.build(spec, copy, workers=0, progress=False)
    assert zoo.verify(copy)[-1] == "spec.yaml is not the spec that the zoo was begun with"
    path.unlink()
    zoo.build(small_spec(), copy, workers=0, progress=False)
    assert content(copy) == content(small_zoo.root)
    assert zoo.verify(copy) == []


def test_changed_data_are_told(small_spec: MakeSpec, tmp_path: Path) -> None:
    zoo.build(small_spec(members=2), tmp_path / "zoo", workers=0, progress=False)
    header, *_ = (tmp_path / "zoo" / NAME).read_text().splitlines()
    fingerprint = Manifest.read(tmp_path / "zoo").header["data"]["fingerprint"]
    (tmp_path / "zoo" / NAME).write_text(header.replace(fingerprint, "0" * 64) + "\n")
    with pytest.raises(zoo.BuildError, match="expected the data that the zoo was begun with"):
        zoo.build(small_spec(members=2), tmp_path / "zoo", workers=0, progress=False)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_bytes_do_not_depend_on_the_workers(
    small_spec: MakeSpec, content: Content, tmp_path: Path, trainer: str
) -> None:
    spec = small_spec(trainer=trainer, data={"source": "digits", "limit": 50})
    for workers in (0, 2):
        zoo.build(spec, tmp_path / str(workers), workers=workers, progress=False)
    assert content(tmp_path / "0") == content(tmp_path / "2")
