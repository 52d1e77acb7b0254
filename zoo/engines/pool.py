"""The engine of one machine: a pool of one-thread processes whose dead and hung ones are replaced."""

import json
import selectors
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

from zoo.engines.deaths import Coroner
from zoo.engines.events import Event, Tell
from zoo.engines.options import ATTEMPTS, STARTING, EngineOptions
from zoo.engines.processes import WorkerProcess, cores

TICK = 1.0


def train_in_pool(root: Path, shards: Sequence[int], options: EngineOptions, tell: Tell) -> None:
    """Train in one-thread processes of this machine; one that dies or hangs is replaced, its shard tried again."""
    pool = LocalPool(root, shards, options.patience, tell)
    try:
        for _ in range(min(options.workers or cores(), len(shards))):
            pool.start()
        pool.run()
    finally:
        pool.stop()


class LocalPool:
    """Worker processes and the shards that wait for them.

    Args:
        root: folder of the zoo.
        shards: numbers of the shards to train.
        patience: seconds of silence after which a worker is taken for hung.
        tell: hears what happens.
    """

    def __init__(self, root: Path, shards: Sequence[int], patience: float, tell: Tell):
        self.root, self.patience, self.tell = root, patience, tell
        self.waiting, self.deaths = deque(shards), Counter[int]()
        self.workers: list[WorkerProcess] = []
        self.stillborn, self.coroner = 0, Coroner()
        self.selector = selectors.DefaultSelector()

    def start(self) -> None:
        """Start one worker and give it the next shard."""
        worker = WorkerProcess.start(self.root)
        self.workers.append(worker)
        self.selector.register(worker.out, selectors.EVENT_READ, worker)
        self._feed(worker)

    def run(self) -> None:
        """Listen to the workers until all shards are over with."""
        while self.workers:
            began = time.monotonic()
            for key, _ in self.selector.select(TICK):
                self._read(key.data)
            # A builder that was itself stopped (Ctrl-Z, a laptop's lid) slept through the time: that counts for little.
            self._grow_silent(min(time.monotonic() - began, 2 * TICK))

    def stop(self) -> None:
        """Kill all workers; what they were at was not acknowledged."""
        for worker in self.workers:
            worker.stop()
        self.workers.clear()
        self.selector.close()

    def _read(self, worker: WorkerProcess) -> None:
        lines, worker.silent = worker.lines(), 0.0
        if lines is None:
            self._dismiss(worker)
            self._bury(worker, self.coroner.cause(worker.process.returncode))
        for line in lines or ():
            self._hear(worker, Event(**json.loads(line)))

    def _grow_silent(self, seconds: float) -> None:
        """Kill the workers that have been silent for too long."""
        for worker in list(self.workers):
            worker.silent += seconds
            limit = self.patience if worker.training else max(self.patience, STARTING)
            if worker.silent > limit:
                worker.interrogate()
                self._dismiss(worker)
                self._bury(worker, f"killed after {limit:g} s without a sign of life")

    def _hear(self, worker: WorkerProcess, event: Event) -> None:
        if event.shard < 0:
            worker.started, self.stillborn = True, 0
            return
        worker.training = True
        self.tell(event)
        if event.is_last:
            self._feed(worker)

    def _feed(self, worker: WorkerProcess) -> None:
        """Give the worker its next shard, or let it go."""
        worker.shard = None
        if self.waiting:
            worker.give(self.waiting.popleft())
        else:
            self._dismiss(worker)

    def _dismiss(self, worker: WorkerProcess) -> None:
        self.selector.unregister(worker.out)
        self.workers.remove(worker)
        worker.stop()

    def _bury(self, worker: WorkerProcess, cause: str) -> None:
        """Put the shard of a dead worker back, and start another."""
        shard = worker.shard
        assert shard is not None
        if not worker.started:
            self._count_stillborn(cause)
        self.deaths[shard] += worker.started
        if self.deaths[shard] >= ATTEMPTS:
            self.tell(Event(shard, error=_deadly(shard, cause)))
        else:
            self.tell(Event(shard, note=f"the worker process of shard {shard} ended ({cause}); it is trained again"))
            self.waiting.appendleft(shard)
        if self.waiting:
            self.start()

    def _count_stillborn(self, cause: str) -> None:
        self.stillborn += 1
        if self.stillborn >= ATTEMPTS:
            raise ValueError(
                f"the last {ATTEMPTS} worker processes ended while starting ({cause}); the lines above say "
                "why; `zoo build --workers 0` trains in the builder itself"
            )


def _deadly(shard: int, cause: str) -> str:
    return (
        f"shard {shard}: its worker process died {ATTEMPTS} times (the last: {cause}); if memory ran out, use fewer "
        "workers or a smaller shard_size; if it only was slow, give more --patience; otherwise look for the cause with "
        "`zoo build --workers 0`"
    )
