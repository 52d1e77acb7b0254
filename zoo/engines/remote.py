"""A shard trained by a process of another machine, which knows the zoo's folder and the shard's number alone."""

import faulthandler
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.engines.events import Event, attempt
from zoo.engines.options import STARTING

if TYPE_CHECKING:
    from zoo.training import ShardTrainer

STDERR = 2


def train_remotely(root: str, shard: int, patience: float) -> dict[str, Any]:
    """Train and write one shard; returns its last event as plain data.

    The process ends itself, with a traceback on standard error, when the training gives no sign of life for
    ``patience`` seconds: whoever runs it sees a dead process and tries again.
    """
    last = Event(shard)
    with watchdog(patience) as alive:

        def hear(event: Event) -> None:
            nonlocal last
            alive()
            last = event

        try:
            trainer = _trainer(Path(root), _first_line(Path(root)))
        except (OSError, ValueError) as error:
            hear(Event(shard, error=f"shard {shard}: {error}; every machine needs the folder, under the same path"))
        else:
            attempt(trainer, shard, hear)
    return last.to_dict()


@contextmanager
def watchdog(patience: float) -> Iterator[Callable[[], None]]:
    """End this process unless what is yielded is called every ``patience`` seconds, once it was called at all."""

    def wait(seconds: float) -> None:
        # A timer outside the interpreter: it goes off also when a thread holds the interpreter for itself.
        faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)

    wait(max(patience, STARTING))
    try:
        yield lambda: wait(patience)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _first_line(root: Path) -> bytes:
    """The header, which tells one zoo from another that was built in its place."""
    from zoo.manifest import NAME

    with (root / NAME).open("rb") as file:
        return file.readline()


@lru_cache(maxsize=1)
def _trainer(root: Path, header: bytes) -> "ShardTrainer":
    """What stays loaded from one shard to the next."""
    from zoo.beginning import check_versions
    from zoo.manifest import Manifest
    from zoo.training import ShardTrainer

    check_versions(Manifest.read(root), root)
    return ShardTrainer(root)
