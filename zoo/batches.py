"""Which samples go together in a batch: seeded, shuffled anew each epoch, never two buckets in one."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class BucketBatches(Sampler[list[int]]):
    """Batches of sample numbers; every sample is in one batch of an epoch.

    Each loop over it is the next epoch, whose order follows from ``(seed, epoch)`` alone: set ``epoch`` to go back to
    one.

    Args:
        buckets: of every sample ``[S]``, any whole numbers; a batch is of one bucket.
        batch_size: samples a batch; the last one of a bucket may be smaller.
        shuffle: off for the order of the samples, bucket after bucket.
        seed: of the order.
        drop_last: leave out the smaller last batches.

    Raises ValueError when there is no batch.

    >>> list(BucketBatches(np.array([7, 8, 7, 7]), batch_size=2, shuffle=False))
    [[0, 2], [3], [1]]
    """

    def __init__(
        self, buckets: np.ndarray, batch_size: int = 32, shuffle: bool = True, seed: int = 0, drop_last: bool = False
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: expected a count >= 1, got {batch_size}")
        self.batch_size, self.shuffle, self.seed, self.drop_last = batch_size, shuffle, seed, drop_last
        self.epoch = 0
        order = np.argsort(buckets, kind="stable")
        # In the order in which they first occur, so that samples of one bucket keep theirs.
        parts = np.split(order, np.flatnonzero(np.diff(buckets[order])) + 1)
        self._parts = sorted((part for part in parts if len(part)), key=lambda part: int(part[0]))
        if not len(self):
            raise ValueError(self._nothing())

    def _nothing(self) -> str:
        if not self._parts:
            return "expected samples to batch, got none"
        largest = max(map(len, self._parts))
        return f"drop_last leaves no batch of {self.batch_size}: the largest bucket has {largest}; use a smaller one"

    def __len__(self) -> int:
        rest = 0 if self.drop_last else self.batch_size - 1
        return sum((len(part) + rest) // self.batch_size for part in self._parts)

    def __iter__(self) -> Iterator[list[int]]:
        # A DataLoader with workers makes two iterators an epoch and uses one: an epoch begins with its first batch.
        generator = np.random.default_rng((self.seed, self.epoch))
        self.epoch += 1
        batches = [batch for part in self._parts for batch in self._cut(part, generator)]
        order = generator.permutation(len(batches)) if self.shuffle else range(len(batches))
        for i in order:
            yield batches[i].tolist()

    def _cut(self, part: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
        part = generator.permutation(part) if self.shuffle else part
        end = len(part) - len(part) % self.batch_size if self.drop_last else len(part)
        return [part[i : min(i + self.batch_size, end)] for i in range(0, end, self.batch_size)]
