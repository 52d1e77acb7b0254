"""What may befall a build beside kills: hung workers, want of memory and of disk, torn lines, flipped bits."""

from __future__ import annotations

import importlib.util
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from _builds import Build, acknowledged
from _lab import Lab
from _results import row

import zoo

Row = dict[str, Any]
CGROUP = Path("/sys/fs/cgroup/memory")
PATIENCE = 8


def hung_worker(lab: Lab, rng: random.Random) -> list[Row]:
    """A worker that stands still is killed after the patience, told, and replaced."""
    root = lab.new()
    build = Build(lab.spec, root, "--workers", "2", "--patience", str(PATIENCE))
    build.await_shards(3)
    _worker(build, rng).send_signal(signal.SIGSTOP)
    before = acknowledged(root)
    code, errors = build.end()
    lab.compare(root, before)
    told = code == 0 and f"killed after {PATIENCE} s without a sign of life" in errors
    return [row("hung workers that were killed, told and replaced", told, "of 1", at_least=1)]


def killed_for_memory(lab: Lab, rng: random.Random) -> list[Row]:
    """A worker that the system ends for want of memory (by a cgroup, or else by the same signal) is told as such."""
    root = lab.new()
    build = Build(lab.spec, root, "--workers", "2")
    build.await_shards(3)
    worker, before = _worker(build, rng), acknowledged(root)
    with _no_more_memory(worker) as how:
        worker.wait(60)
    code, errors = build.end()
    lab.compare(root, before)
    told = code == 0 and "killed by SIGKILL: memory ran out" in errors
    return [row(f"workers out of memory ({how}) that were told and replaced", told, "of 1", at_least=1)]


def _worker(build: Build, rng: random.Random) -> psutil.Process:
    worker = build.worker(rng)
    if worker is None:
        raise RuntimeError(f"the build in {build.root} has no worker:\n{build.end()[1]}")
    return worker


@contextmanager
def _no_more_memory(process: psutil.Process) -> Iterator[str]:
    """Let the system's own killer take the process; without the right to, send what it sends."""
    group = CGROUP / f"soak_zoo_{process.pid}"
    try:
        group.mkdir()
    except OSError:
        process.kill()
        yield "SIGKILL"
        return
    try:
        (group / "memory.limit_in_bytes").write_text(str(1 << 16))
        (group / "cgroup.procs").write_text(str(process.pid))
        yield "cgroup"
    finally:
        group.rmdir()


def full_disk(lab: Lab, rng: random.Random) -> list[Row]:
    """The disk fills up after a third and after two thirds of the zoo; with more room the same command goes on."""
    told, size = 0, sum(map(len, lab.content.values()))
    how, shares = "tmpfs", (1 / 3, 2 / 3)
    for share in shares:
        root = lab.new()
        with _small_disk(root, int(share * size)) as limit:
            how = "tmpfs" if limit is None else "RLIMIT_FSIZE"
            code, errors = Build(lab.spec, root, "--workers", "2", limit=limit).end()
            told += code == 1 and "cannot write into" in errors and "networks are safe. Make room" in errors
            lab.check(root, {})
            if limit is None:
                _mount(root, "remount,size=1g")
            lab.go_on(root)
    return [
        row(f"full disks ({how}) that were told, and gone on from", told, f"of {len(shares)}", at_least=len(shares))
    ]


@contextmanager
def _small_disk(root: Path, size: int) -> Iterator[int | None]:
    """The folder on a disk of so many bytes; without the right to mount one, the largest file the build may write."""
    root.mkdir()
    if not _mount(root, f"size={size}"):
        yield size // 20
        return
    try:
        yield None
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def _mount(root: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(root)]
    return (
        shutil.which("mount") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def torn_lines(lab: Lab, rng: random.Random, times: int = 10) -> list[Row]:
    """The last line of the manifest is torn anywhere, as a crash while it is written leaves it."""
    read = 0
    for _ in range(times):
        root = lab.new()
        shutil.copytree(lab.whole, root)
        path = root / "manifest.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        # The end of the zoo, or of a shard in the middle of the build.
        kept = lines[: rng.choice([len(lines), rng.randrange(5, len(lines))])]
        torn = b"".join(kept)[: -rng.randrange(2, len(kept[-1]))]
        path.write_bytes(torn)
        before = acknowledged(root)
        read += len(zoo.open(root)) == 2 * len(before)
        lab.go_on(root)
        shutil.rmtree(root)
    return [row("torn manifests that are read up to there, and gone on from", read, f"of {times}", at_least=times)]


def flip_bits(lab: Lab, rng: random.Random, count: int) -> list[Row]:
    """Single bits of a whole zoo: each is found by ``zoo.verify``, under the name of its file."""
    rows, root = [], lab.new()
    shutil.copytree(lab.whole, root)
    files = {
        "shards": sorted(root.glob("shards/*")),
        "the table": [root / "table.arrow"],
        "the manifest": [root / "manifest.jsonl"],
        "recipes, topologies and spec": [*sorted(root.rglob("*.json")), root / "spec.yaml"],
    }
    for number, (kind, paths) in enumerate(files.items()):
        most = count // len(files) + (number < count % len(files))
        found = sum(_found(root, rng.choice(paths), rng) for _ in range(most))
        rows.append(row(f"flipped bits found in {kind}", found, f"of {most}", at_least=most))
    lab.compare(root, acknowledged(lab.whole))
    return rows


def _found(root: Path, path: Path, rng: random.Random) -> bool:
    whole = path.read_bytes()
    place = rng.randrange(8 * len(whole))
    flipped = bytearray(whole)
    flipped[place // 8] ^= 1 << place % 8
    path.write_bytes(flipped)
    try:
        told = " ".join(zoo.verify(root))
    except ValueError as error:
        told = str(error)
    path.write_bytes(whole)
    return path.name in told


def on_ray(lab: Lab, rng: random.Random) -> list[Row]:
    """The same spec on a Ray cluster of two processes of this machine, with a worker killed twice."""
    if importlib.util.find_spec("ray") is None:
        print("ray is not installed: pip install 'metazoo[ray]'; its row is left out")
        return []
    root, kills = lab.new(), 0
    build = Build(lab.spec, root, "--workers", "2", "--engine", "ray")
    for shards in (3, 9):
        build.await_shards(shards)
        kills += _kill_on_ray(build, rng)
    before = acknowledged(root)
    code, errors = build.end()
    if code:
        raise RuntimeError(f"the build on Ray failed:\n{errors}")
    lab.compare(root, before)
    return [row("workers killed while the same spec was built on Ray", kills, "of 2", at_least=2)]


def _kill_on_ray(build: Build, rng: random.Random, seconds: float = 20) -> bool:
    """Kill a worker of Ray as soon as one is training: between two shards it goes by another name."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        worker = build.worker(rng, "ray::train_remotely")
        if worker is not None:
            worker.kill()
            return True
        time.sleep(0.02)
    return False
