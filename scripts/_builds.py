"""A run of `zoo build` in processes of its own, to be disturbed from outside."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]


class Build:
    """One `zoo build SPEC OUT` with its workers, in a process group of its own.

    Args:
        spec: YAML file.
        root: folder of the zoo.
        options: more of the command line.
        limit: largest file that it may write, in bytes; None for any.
    """

    def __init__(self, spec: Path, root: Path, *options: str, limit: int | None = None) -> None:
        self.root = root
        self._told = root.with_name(f"{root.name}.txt")
        command = [sys.executable, "-m", "zoo", "build", str(spec), str(root), "--quiet", *options]
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        with self._told.open("w") as errors:
            self.process = subprocess.Popen(
                command,
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                preexec_fn=None if limit is None else lambda: _limit_files(limit),
            )

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def await_shards(self, count: int, seconds: float = 120) -> None:
        """Until so many shards are acknowledged, or the build has ended."""
        self.wait_for(lambda: len(acknowledged(self.root)) >= count, seconds)

    def wait_for(self, condition: Callable[[], object], seconds: float = 120) -> None:
        """Until the condition holds or the build has ended; RuntimeError when neither comes about in time."""
        end = time.monotonic() + seconds
        while not condition() and self.running:
            if time.monotonic() > end:
                self.kill_all()
                raise RuntimeError(f"the build in {self.root} made no progress:\n{self.end()[1]}")
            time.sleep(0.002)

    def worker(self, rng: random.Random, name: str = "zoo.worker") -> psutil.Process | None:
        """One of the processes below the builder whose command has the name."""
        try:
            found = [p for p in psutil.Process(self.process.pid).children(recursive=True) if name in _command(p)]
        except psutil.NoSuchProcess:
            return None
        return rng.choice(found) if found else None

    def kill_all(self) -> None:
        """Kill the builder with all its workers."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def kill_builder(self) -> None:
        """Kill the builder alone; its workers notice by themselves."""
        self.process.kill()
        self.process.wait()

    def end(self, seconds: float = 300) -> tuple[int, str]:
        """Its exit code and what it wrote on standard error, once it has ended."""
        return self.process.wait(seconds), self._told.read_text()


def acknowledged(root: Path) -> dict[int, str]:
    """Number and checksum of every shard that the manifest has, read without the help of the code under test."""
    path = root / "manifest.jsonl"
    found = {}
    for line in path.read_bytes().split(b"\n")[1:-1] if path.exists() else []:
        if b'"kind":"shard"' in line:
            row = json.loads(line)
            found[row["shard"]] = row["sha256"]
    return found


def content(root: Path) -> dict[str, bytes]:
    """Every file of a zoo that must not depend on how it was built, by name."""
    paths = [path for path in root.rglob("*") if path.is_file() and path.name not in (".lock", "manifest.jsonl")]
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(paths)}


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
