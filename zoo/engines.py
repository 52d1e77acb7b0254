"""Engines run the training of shards; they never hold weights, so each of them may lose workers at any time.

An engine is called as ``engine(root, shards, workers, tell)``, calls ``tell(event)`` with what happens, and returns
when every shard is written or given up. However it ends, it leaves no worker behind.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.training import ShardTrainer

ATTEMPTS = 3
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True)
class Event:
    """News of one shard.

    Args:
        shard: its number; -1 for a worker that has started.
        finished: networks of it that are trained.
        record: its manifest record once it is written.
        error: why it cannot be had.
    """

    shard: int
    finished: int = 0
    record: dict[str, Any] | None = None
    error: str | None = None

    @property
    def is_last(self) -> bool:
        """Whether the shard is over with."""
        return self.record is not None or self.error is not None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


Tell = Callable[[Event], None]


def attempt(trainer: "ShardTrainer", shard: int, tell: Tell) -> None:
    """Train one shard and tell its progress; the last event has the record or the error."""
    finished = 0

    def progress(more: int) -> None:
        nonlocal finished
        finished += more
        tell(Event(shard, finished))

    try:
        last = Event(shard, finished, record=trainer.train(shard, progress))
    # Training runs the user's own factory and loss, which may raise anything; the builder tells it with the network.
    except Exception as error:  # noqa: BLE001
        last = Event(shard, error=_blame(trainer, shard, finished, error))
    tell(last)


def _blame(trainer: "ShardTrainer", shard: int, finished: int, error: Exception) -> str:
    """One sentence that names the network (or, of a stack, the networks) and the error with its place."""
    members = trainer.members(shard)
    # The reference trainer takes one network after the other, so the one after the last finished has failed.
    one = trainer.trainer(shard) == "reference" and finished < len(members)
    who = f"network {members[finished].id}" if one else f"networks {members[0].id} to {members[-1].id}"
    place, trace = "", error.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"shard {shard}, {who} ({members[0].recipe['factory']}): {type(error).__name__}: {error} (at {place})"


def inline(root: Path, shards: Sequence[int], workers: int, tell: Tell) -> None:
    """Train in this process, one shard after the other; for debugging and for small zoos."""
    from zoo.training import ShardTrainer

    trainer = ShardTrainer(root)
    for shard in shards:
        attempt(trainer, shard, tell)


def local(root: Path, shards: Sequence[int], workers: int, tell: Tell) -> None:
    """Train in one-thread processes of this machine; one that dies is replaced, and its shard tried again."""
    pool = LocalPool(root, shards, tell)
    try:
        for _ in range(min(workers, len(shards))):
            pool.start()
        pool.run()
    finally:
        pool.stop()


ENGINES: dict[str, Callable[[Path, Sequence[int], int, Tell], None]] = {"local": local, "inline": inline}


@dataclass
class _Worker:
    process: "subprocess.Popen[bytes]"
    shard: int | None = None
    started: bool = False
    rest: bytes = b""

    def lines(self) -> list[bytes] | None:
        """The complete lines that have arrived; None when the process has ended."""
        data = os.read(self._out, 1 << 16)
        if not data:
            return None
        *lines, self.rest = (self.rest + data).split(b"\n")
        return lines

    @property
    def _out(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def give(self, shard: int) -> None:
        """Ask for a shard; a worker that has just died is noticed by its closed output."""
        assert self.process.stdin is not None
        self.shard = shard
        try:
            self.process.stdin.write(f"{shard}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            # What it was last asked for may still be in the buffer, and has nowhere to go.
            with suppress(BrokenPipeError):
                pipe.close()


class LocalPool:
    """Worker processes and the shards that wait for them."""

    def __init__(self, root: Path, shards: Sequence[int], tell: Tell):
        self.root, self.tell = root, tell
        self.waiting, self.deaths = deque(shards), Counter[int]()
        self.workers: list[_Worker] = []
        self.stillborn = 0
        self.selector = selectors.DefaultSelector()

    def start(self) -> None:
        """Start one worker and give it the next shard."""
        worker = _Worker(_spawn(self.root))
        self.workers.append(worker)
        self.selector.register(worker.process.stdout, selectors.EVENT_READ, worker)  # pyright: ignore[reportArgumentType]
        self._feed(worker)

    def run(self) -> None:
        """Listen to the workers until all shards are over with."""
        while self.workers:
            for key, _ in self.selector.select():
                worker: _Worker = key.data
                lines = worker.lines()
                if lines is None:
                    self._bury(worker)
                for line in lines or ():
                    self._hear(worker, Event(**json.loads(line)))

    def stop(self) -> None:
        """Kill all workers; what they were at was not acknowledged."""
        for worker in self.workers:
            worker.stop()
        self.workers.clear()
        self.selector.close()

    def _hear(self, worker: _Worker, event: Event) -> None:
        if event.shard < 0:
            worker.started, self.stillborn = True, 0
            return
        self.tell(event)
        if event.is_last:
            self._feed(worker)

    def _feed(self, worker: _Worker) -> None:
        """Give the worker its next shard, or let it go."""
        worker.shard = None
        if self.waiting:
            worker.give(self.waiting.popleft())
        else:
            self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        self.selector.unregister(worker.process.stdout)  # pyright: ignore[reportArgumentType]
        self.workers.remove(worker)
        worker.stop()

    def _bury(self, worker: _Worker) -> None:
        """Take leave of a dead worker, put its shard back, and start another."""
        self._dismiss(worker)
        code, shard = worker.process.returncode, worker.shard
        if not worker.started:
            self.stillborn += 1
            if self.stillborn >= ATTEMPTS:
                raise ValueError(
                    f"the last {ATTEMPTS} worker processes ended while starting ({_cause(code)}); the lines above say "
                    "why; `zoo build --workers 0` trains in the builder itself"
                )
        assert shard is not None
        self.deaths[shard] += worker.started
        if self.deaths[shard] >= ATTEMPTS:
            self.tell(Event(shard, error=_deadly(shard, code)))
        else:
            self.tell(Event(shard))
            self.waiting.appendleft(shard)
        if self.waiting:
            self.start()


def _deadly(shard: int, code: int) -> str:
    return (
        f"shard {shard}: its worker process died {ATTEMPTS} times ({_cause(code)}); if memory ran out, use fewer "
        "workers or a smaller shard_size, otherwise look for the cause with `zoo build --workers 0`"
    )


def _cause(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _spawn(root: Path) -> "subprocess.Popen[bytes]":
    """A worker process that finds the same modules as this one, on one thread, deaf to Ctrl-C."""
    paths = [path or os.getcwd() for path in sys.path]
    environment = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "zoo.worker", str(root)]
    # A process inherits the signals blocked here: on Ctrl-C the builder stops its workers itself.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
