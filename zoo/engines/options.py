"""How an engine is to run, whichever it is."""

from dataclasses import dataclass

# How often a shard is tried before it is given up.
ATTEMPTS = 3
PATIENCE = 1800.0
# Seconds that a process has to its first batch whatever the patience: libraries and data may come from a slow disk.
STARTING = 300.0


@dataclass(frozen=True)
class EngineOptions:
    """What a user may ask of an engine.

    Args:
        workers: shards trained at once, on one thread each; None leaves it to the engine.
        address: where the engine finds its machines; None is this machine, or what the engine finds itself.
        patience: seconds without a sign of life after which a worker counts as hung. The sign is given by the training
            itself, after every batch, so that a stuck thread gives none however alive its process is; a network whose
            single batch takes longer needs more.
        gpus: share of a GPU that is leased to each shard.

    Raises ValueError for a value out of range.

    >>> EngineOptions(workers=2).patience
    1800.0
    """

    workers: int | None = None
    address: str | None = None
    patience: float = PATIENCE
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers: expected a count >= 0, got {self.workers}")
        if not self.patience > 0:
            raise ValueError(f"patience: expected seconds > 0, got {self.patience}")
        if not self.gpus >= 0:
            raise ValueError(f"gpus: expected a share >= 0, got {self.gpus}")
