"""A worker process of this machine: how it is started, asked, heard and stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# Seconds that a hung worker gets to print where it hangs.
LAST_WORDS = 0.5


def worker_environment() -> Mapping[str, str]:
    """The variables with which a process finds the same modules as this one, on one thread."""
    paths = [path or os.getcwd() for path in sys.path]
    return dict.fromkeys(THREADS, "1") | {"PYTHONPATH": os.pathsep.join(paths)}


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class WorkerProcess:
    """One worker and the shard it is at.

    Args:
        process: it runs ``zoo.worker``.
        shard: what it was asked for last.
        started: whether it has said so.
        training: whether it has trained a batch.
        silent: seconds since its last sign of life.
    """

    process: "subprocess.Popen[bytes]"
    shard: int | None = None
    started: bool = False
    training: bool = False
    silent: float = 0.0
    _rest: bytes = b""

    @classmethod
    def start(cls, root: Path) -> "WorkerProcess":
        """Start one, deaf to Ctrl-C."""
        command, environment = [sys.executable, "-m", "zoo.worker", str(root)], os.environ | worker_environment()
        # A process inherits the signals blocked here: on Ctrl-C the builder stops its workers itself.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return cls(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def out(self) -> int:
        """The descriptor that its events arrive at."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def lines(self) -> list[bytes] | None:
        """The complete lines that have arrived; None when the process has ended."""
        data = os.read(self.out, 1 << 16)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines

    def give(self, shard: int) -> None:
        """Ask for a shard; a worker that has just died is noticed by its closed output."""
        assert self.process.stdin is not None
        self.shard = shard
        try:
            self.process.stdin.write(f"{shard}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def interrogate(self) -> None:
        """Let it print on standard error where it is, if it still can."""
        self.process.send_signal(signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(LAST_WORDS)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            # What it was last asked for may still be in the buffer, and has nowhere to go.
            with suppress(BrokenPipeError):
                pipe.close()
