"""Commands run beside each other, so many at a time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """A command, what to call it, and the folder it writes to; what it prints goes to ``FOLDER.txt`` beside that."""

    title: str
    folder: Path
    command: list[str]

    @property
    def output(self) -> Path:
        return self.folder.with_name(self.folder.name + ".txt")


def run_jobs(jobs: Sequence[Job], lanes: int = 2) -> dict[str, float]:
    """Run all, in order, ``lanes`` at a time; returns the seconds of each by title.

    Raises RuntimeError with the end of its output when one fails, after ending those that still run.
    """
    waiting, seconds = list(jobs), {}
    running: dict[str, tuple[Job, Any, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < lanes:
                job = waiting.pop(0)
                running[job.title] = (job, _start(job), time.monotonic())
            time.sleep(0.1)
            for title, (job, process, begun) in list(running.items()):
                if process.poll() is not None:
                    del running[title]
                    _check(job, process.returncode)
                    seconds[title] = round(time.monotonic() - begun, 1)
                    print(f"  {title}: {seconds[title]:.0f} s", flush=True)
    finally:
        for _, process, _ in running.values():
            process.terminate()
    return seconds


def _start(job: Job) -> subprocess.Popen[bytes]:
    job.output.parent.mkdir(parents=True, exist_ok=True)
    with open(job.output, "wb") as output:
        return subprocess.Popen(job.command, stdout=output, stderr=subprocess.STDOUT)


def _check(job: Job, status: int) -> None:
    if status:
        text = job.output.read_text(errors="replace")
        raise RuntimeError(f"{job.title} ended with status {status}:\n{' '.join(job.command)}\n{text[-3000:]}")
