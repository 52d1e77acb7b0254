"""A function run in a forked child of its own, which is ended when it exceeds its time or memory."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Report = Callable[..., None]


@dataclass(frozen=True)
class Limits:
    """Wall-clock seconds, and gigabytes of address space beyond what the parent already holds."""

    seconds: float = 120.0
    gigabytes: float = 6.0


class Child:
    """One running call of ``work(report)``. What it reports is merged into ``row``, also when it is ended early.

    Args:
        work: what to run; ``report(key=value, ...)`` tells the parent, ``stage`` being what it is at.
        limits: of this child.

    ``row`` holds ``stopped`` (failed, crashed, timed out, out of memory) with the ``reason`` unless it ended well.
    """

    def __init__(self, work: Callable[[Report], None], limits: Limits) -> None:
        self.limits, self.row, self.begun = limits, {}, time.monotonic()
        self._text = b""
        sys.stdout.flush()
        sys.stderr.flush()
        self._pipe, write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._pipe)
            _live(work, write, limits)
        os.close(write)

    def finished(self) -> bool:
        """Whether it is over, by itself or because its time is."""
        while select.select([self._pipe], [], [], 0)[0]:
            piece = os.read(self._pipe, 1 << 16)
            if not piece:
                return self._end()
            self._text += piece
        return time.monotonic() - self.begun > self.limits.seconds and self.stop()

    def stop(self) -> bool:
        """End it, whatever it is doing."""
        os.kill(self._pid, signal.SIGKILL)
        self._end()
        self.row["stopped"] = "timed out"
        self.row["reason"] = f"not done after {self.limits.seconds:g} s, at: {self.row.get('stage', 'start')}"
        return True

    def _end(self) -> bool:
        _, status, usage = os.wait4(self._pid, 0)
        os.close(self._pipe)
        for line in self._text.splitlines(keepends=True):
            if line.endswith(b"\n"):
                self.row.update(json.loads(line))
        if os.WIFSIGNALED(status):
            self.row["stopped"] = "crashed"
            self.row["reason"] = f"ended by signal {os.WTERMSIG(status)} at: {self.row.get('stage', 'start')}"
        self.row["seconds"] = round(time.monotonic() - self.begun, 2)
        self.row["peak_mb"] = max(0, usage.ru_maxrss // 1024 - self.row.pop("inherited_mb", 0))
        return True


def _live(work: Callable[[Report], None], pipe: int, limits: Limits) -> None:
    """The child's whole life."""

    def report(**values: Any) -> None:
        os.write(pipe, (json.dumps(values) + "\n").encode())

    try:
        os.setsid()
        _die_with_the_parent()
        held, resident = (int(n) * resource.getpagesize() for n in Path("/proc/self/statm").read_text().split()[:2])
        most = held + int(limits.gigabytes * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        report(inherited_mb=resident >> 20)
        _silence()
        work(report)
    except Exception as error:  # noqa: BLE001
        told = f"{type(error).__name__}: {error}"
        if isinstance(error, MemoryError) or "can't allocate memory" in told:
            report(stopped="out of memory", reason=f"needs more than {limits.gigabytes:g} GB")
        else:
            report(stopped="failed", reason=" ".join(told.split())[:400])
    finally:
        os._exit(0)


def _die_with_the_parent() -> None:
    """A killed run leaves nothing behind (Linux)."""
    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def _silence() -> None:
    """What models print is no part of the result."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
