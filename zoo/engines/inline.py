"""The engine without workers: shards are trained in the builder's own process."""

from collections.abc import Sequence
from pathlib import Path

from zoo.engines.events import Tell, attempt
from zoo.engines.options import EngineOptions


def train_inline(root: Path, shards: Sequence[int], options: EngineOptions, tell: Tell) -> None:
    """Train in this process, one shard after the other; for debugging and for small zoos."""
    from zoo.training import ShardTrainer

    trainer = ShardTrainer(root)
    for shard in shards:
        attempt(trainer, shard, tell)
