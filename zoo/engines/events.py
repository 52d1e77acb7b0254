"""What an engine tells of a shard, and the one attempt at training it that every engine makes."""

import errno
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.training import ShardTrainer

# Seconds between signs of life of a training that goes on.
BEAT = 1.0
# No shard can be written after one of these, so going on would be training in vain.
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


@dataclass(frozen=True)
class Event:
    """News of one shard.

    Args:
        shard: its number; -1 for a worker that has started.
        finished: networks of it that are trained.
        record: its manifest record once it is written.
        error: why it cannot be had.
        note: what the user should hear though the build goes on.
        disk: number of the error where it is one of the disk, which no other shard will be spared; else 0.
    """

    shard: int
    finished: int = 0
    record: dict[str, Any] | None = None
    error: str | None = None
    note: str | None = None
    disk: int = 0

    @property
    def is_last(self) -> bool:
        """Whether the shard is over with."""
        return self.record is not None or self.error is not None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


Tell = Callable[[Event], None]


def attempt(trainer: "ShardTrainer", shard: int, tell: Tell) -> None:
    """Train one shard and tell its progress, or once a second that it goes on; the last event has the record or the
    error."""
    finished, told = 0, -BEAT

    def progress(more: int) -> None:
        nonlocal finished, told
        finished += more
        if more or time.monotonic() - told >= BEAT:
            told = time.monotonic()
            tell(Event(shard, finished))

    try:
        last = Event(shard, finished, record=trainer.train(shard, progress))
    # Training runs the user's own factory and loss, which may raise anything; the builder tells it with the network.
    except Exception as error:  # noqa: BLE001
        disk = error.errno if isinstance(error, OSError) and error.errno in DISK_ERRORS else None
        last = Event(shard, error=_blame(trainer, shard, finished, error), disk=disk or 0)
    tell(last)


def _blame(trainer: "ShardTrainer", shard: int, finished: int, error: Exception) -> str:
    """One sentence that names the network (or, of a stack, the networks) and the error with its place."""
    members = trainer.members(shard)
    # All trainers but the stacked one take one network after the other, so the one after the last finished has failed.
    one = trainer.trainer(shard) != "stacked" and finished < len(members)
    who = f"network {members[finished].id}" if one else f"networks {members[0].id} to {members[-1].id}"
    place, trace = "", error.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"shard {shard}, {who} ({members[0].recipe['factory']}): {type(error).__name__}: {error} (at {place})"
