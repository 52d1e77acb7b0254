"""Engines: a worker that hangs is replaced, every engine gives the same bytes, options are checked."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import zoo
from zoo.engines import EngineOptions, choose
from zoo.engines.remote import train_remotely

MakeSpec = Callable[..., zoo.ZooSpec]
Content = Callable[[Path], dict[str, bytes]]
SMALL = {"source": "digits", "limit": 60}
# Losses that hang the first worker that trains with them, each in its own way, and one that is merely slow.
LOSSES = """
import os, signal, sys, time
from pathlib import Path
from torch import nn

def once(name, hang):
    batches = []
    def loss(outputs, targets):
        batches.append(outputs.requires_grad)
        # Not in the builder, which tries every loss before it begins.
        if sum(batches) == 3 and "zoo.worker" in sys.orig_argv:
            try:
                os.close(os.open(Path(__file__).with_name(name), os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                hang()
        return nn.functional.cross_entropy(outputs, targets)
    return loss

def spin():
    while True:
        pass

asleep = once("asleep", lambda: time.sleep(1000))
busy = once("busy", spin)
frozen = once("frozen", lambda: os.kill(os.getpid(), signal.SIGSTOP))

def slow(outputs, targets):
    time.sleep(outputs.requires_grad)
    return nn.functional.cross_entropy(outputs, targets)
"""


@pytest.fixture
def lossy_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, object]]:
    """Makes the spec of a network for each of some losses, twenty-four batches long."""
    (tmp_path / "my_losses.py").write_text(LOSSES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_losses", raising=False)

    def make(*losses: str) -> dict[str, object]:
        recipes = [{"factory": "mlp", "loss": f"my_losses:{name}"} for name in losses]
        return {"data": SMALL, "recipes": recipes, "members": len(losses), "epochs": 24, "batch_size": 48}

    return make


def test_a_hung_worker_is_replaced(
    lossy_spec: Callable[..., dict[str, object]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    z = zoo.build(lossy_spec("asleep"), tmp_path / "zoo", workers=1, progress=False, patience=3)
    assert [row["status"] for row in z.table.to_pylist()] == ["ok"]
    told = capfd.readouterr().err
    assert "shard 0 ended (killed after 3 s without a sign of life); it is trained again" in told
    assert "in <lambda>" in told
    assert not psutil.Process().children()


@pytest.mark.slow
def test_whatever_way_it_hangs_but_not_when_it_is_slow(
    lossy_spec: Callable[..., dict[str, object]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # The slow network takes longer than the patience as a whole, but not for a batch.
    began, spec = time.monotonic(), lossy_spec("asleep", "busy", "frozen", "slow")
    z = zoo.build(spec, tmp_path / "zoo", workers=4, progress=False, patience=20)
    assert time.monotonic() - began > 24
    assert [row["status"] for row in z.table.to_pylist()] == ["ok"] * 4
    assert zoo.verify(z.root) == []
    told = capfd.readouterr().err
    for shard in range(3):
        assert f"shard {shard} ended (killed after 20 s without a sign of life); it is trained again" in told
    assert "shard 3" not in told
    # Where they hung; a process that is frozen cannot say.
    assert "in <lambda>" in told
    assert "in spin" in told


def test_a_remote_training_that_hangs_ends_its_process() -> None:
    """Ray and Slurm see a dead process, and try again."""
    code = "import time\nfrom zoo.engines.remote import watchdog\nwith watchdog(1) as alive: alive(); time.sleep(60)"
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert time.monotonic() - began < 30
    assert "Timeout" in ended.stderr


def test_a_remote_task_without_its_folder_is_told(tmp_path: Path) -> None:
    event = train_remotely(str(tmp_path / "gone"), 3, 60)
    assert "shard 3" in event["error"]
    assert "every machine needs the folder, under the same path" in event["error"]


def test_a_shard_that_never_arrives_is_not_acknowledged(
    small_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of another machine wrote it to a folder of the same name."""
    from zoo.training import ShardTrainer

    train = ShardTrainer.train

    def elsewhere(self: ShardTrainer, index: int, progress: Callable[[int], None]) -> dict[str, object]:
        record = train(self, index, progress)
        (self.root / record["file"]).unlink()
        return record

    monkeypatch.setattr(ShardTrainer, "train", elsewhere)
    with pytest.raises(zoo.BuildError, match=r"shard-00000.safetensors is missing; all machines have to share the"):
        zoo.build(small_spec(members=2), tmp_path / "zoo", workers=0, progress=False)
    assert len(zoo.open(tmp_path / "zoo")) == 0


@pytest.mark.parametrize(
    ("engine", "options", "told"),
    [
        ("dask", {}, "engine: expected one of local, inline, ray, slurm, got 'dask'"),
        ("local", {"address": "auto"}, "address: the engine local takes none; .* choose one of ray, slurm"),
        ("inline", {"patience": 5.0}, "patience: the engine inline takes none"),
        ("local", {"workers": -1}, "workers: expected a count >= 0, got -1"),
        ("local", {"patience": 0.0}, "patience: expected seconds > 0, got 0.0"),
        ("ray", {"gpus": -0.5}, "gpus: expected a share >= 0, got -0.5"),
        ("ray", {"workers": 0, "gpus": 0.5}, "gpus: the engine inline takes none"),
    ],
)
def test_options_are_checked(engine: str, options: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        choose(engine, EngineOptions(**options))  # pyright: ignore[reportArgumentType]


def test_slurm_arrays_give_the_same_bytes(small_spec: MakeSpec, content: Content, tmp_path: Path) -> None:
    """By submitit's local executor: processes of this machine in the place of Slurm's jobs."""
    pytest.importorskip("submitit", reason="needs the extra slurm")
    spec = small_spec(members=1, recipes=["mlp"])
    inline = zoo.build(spec, tmp_path / "inline", workers=0, progress=False)
    z = zoo.build(spec, tmp_path / "zoo", engine="slurm", address="local", workers=1, progress=False)
    # What was submitted and printed is gone, too.
    assert content(z.root) == content(inline.root)


@pytest.mark.slow
def test_a_slurm_job_that_is_killed_is_submitted_again(
    small_spec: MakeSpec, content: Content, small_zoo: zoo.Zoo, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("submitit", reason="needs the extra slurm")
    killer = threading.Thread(target=kill, args=("submitit.core._submit", 1), daemon=True)
    killer.start()
    z = zoo.build(small_spec(), tmp_path / "zoo", engine="slurm", address="local", workers=2, progress=False)
    killer.join(timeout=1)
    assert not killer.is_alive()
    assert content(z.root) == content(small_zoo.root)
    assert "ended without a result; it is submitted again" in capfd.readouterr().err


def test_slurm_that_is_not_there_is_told(small_spec: MakeSpec, tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="needs the extra slurm")
    for address, told in ((None, "expected Slurm's commands"), ("head:6817", "slurm, local, got 'head:6817'")):
        with pytest.raises(ValueError, match=told):
            zoo.build(small_spec(), tmp_path / "zoo", engine="slurm", address=address, progress=False)


def kill(name: str, times: int, seconds: float = 120) -> None:
    """Kill so many children, or children's children, whose command has the name, as soon as each is at work."""
    end = time.monotonic() + seconds
    while times and time.monotonic() < end:
        for process in psutil.Process().children(recursive=True):
            try:
                if name in " ".join(process.cmdline()):
                    os.kill(process.pid, signal.SIGKILL)
                    times -= 1
                    break
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue
        time.sleep(0.2)


@pytest.mark.slow
def test_ray_gives_the_same_bytes_though_a_worker_is_killed_twice(
    small_spec: MakeSpec, content: Content, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    spec = small_spec(data={"source": "digits", "limit": 600}, members=30, epochs=6, keep=[0, 3, 6], shard_size=2)
    local = zoo.build(spec, tmp_path / "local", workers=2, progress=False)
    killer = threading.Thread(target=kill, args=("ray::train_remotely", 2), daemon=True)
    killer.start()
    z = zoo.build(spec, tmp_path / "ray", engine="ray", workers=2, progress=False)
    killer.join(timeout=1)
    assert not killer.is_alive()
    assert content(z.root) == content(local.root)
    assert zoo.verify(z.root) == []


@pytest.mark.slow
def test_ray_goes_on_when_a_whole_node_is_lost(small_spec: MakeSpec, content: Content, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    from ray.cluster_utils import Cluster

    spec = small_spec(data={"source": "digits", "limit": 600}, members=30, epochs=20, keep=[0, 20], shard_size=2)
    local = zoo.build(spec, tmp_path / "local", workers=2, progress=False)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node, lost = cluster.add_node(num_cpus=1), threading.Event()

    def lose() -> None:
        manifest = tmp_path / "ray" / "manifest.jsonl"
        while not manifest.exists() or '"shard"' not in manifest.read_text():
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)
        lost.set()

    threading.Thread(target=lose, daemon=True).start()
    try:
        z = zoo.build(spec, tmp_path / "ray", engine="ray", address=cluster.address, workers=2, progress=False)
    finally:
        cluster.shutdown()
    assert lost.is_set()
    assert content(z.root) == content(local.root)
    assert zoo.verify(z.root) == []
