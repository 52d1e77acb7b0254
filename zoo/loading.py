"""Batches of weights out of a zoo's mapped files, for training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zoo.batches import BucketBatches
from zoo.buckets import bucket_numbers
from zoo.gathering import MappedStates
from zoo.targets import state_places, target_values

if TYPE_CHECKING:
    from zoo.store import Zoo


@dataclass(frozen=True)
class WeightBatch:
    """States of networks of one topology, with what to predict of them.

    Shapes: weights ``[B, P]``; targets ``[B]``, or ``[B, targets]`` for a list; index ``[B]``: ``zoo[index]`` is the
    network, row ``index`` of ``zoo.table`` its row; state ``[B]``, counted from its oldest kept one.
    """

    weights: Tensor
    targets: Tensor
    index: Tensor
    state: Tensor

    def __len__(self) -> int:
        return len(self.weights)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "WeightBatch":
        """The batch on another device."""
        parts = (self.weights, self.targets, self.index, self.state)
        return WeightBatch(*(part.to(device, non_blocking=non_blocking) for part in parts))

    def pin_memory(self) -> "WeightBatch":
        """The batch in page-locked memory, as a DataLoader asks for it."""
        parts = (self.weights, self.targets, self.index, self.state)
        return WeightBatch(*(part.pin_memory() for part in parts))


class WeightStates(Dataset[WeightBatch]):
    """The states of a zoo's networks; a list of sample numbers gives a batch.

    Args:
        zoo: the networks.
        states: ``all`` kept states, or the ``final`` one of each network.
        target: metrics of the state, or numeric columns of the row, such as ``test_accuracy``,
            ``test_class_accuracy/3`` (that on class 3) or ``lr``.
    """

    def __init__(self, zoo: "Zoo", states: str, target: str | Sequence[str]):
        self.index, self.state = state_places(zoo, states)
        names = [target] if isinstance(target, str) else target
        columns = [target_values(zoo, name, self.index, self.state) for name in names]
        self.targets = torch.from_numpy(columns[0] if isinstance(target, str) else np.stack(columns, 1))
        self._shard, self._place = (zoo.arrow_column(name).to_numpy() for name in ("shard", "place"))
        files = {shard: record["file"] for shard, record in zoo.store.manifest.shards.items()}
        self._mapped = MappedStates(zoo.root, files)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, chosen: Sequence[int]) -> WeightBatch:
        numbers = np.asarray(chosen)
        index, state = self.index[numbers], self.state[numbers]
        weights = self._mapped.gather(self._shard[index], state, self._place[index])
        targets = self.targets[torch.from_numpy(numbers)]
        return WeightBatch(weights, targets, torch.from_numpy(index), torch.from_numpy(state))


def make_loader(
    zoo: "Zoo",
    batch_size: int = 32,
    states: str = "all",
    target: str | Sequence[str] = "test_accuracy",
    shuffle: bool = False,
    seed: int = 0,
    drop_last: bool = False,
    workers: int = 0,
    together: str = "topology",
) -> DataLoader[Any]:
    """Batches of the states of a zoo's networks, copied once, from the mapped files.

    Args:
        batch_size: states a batch; the last one of a topology may be smaller.
        states: ``all`` kept states, or the ``final`` one of each network.
        target: metrics of the state, or numeric columns of the row; a list gives a column each;
            ``test_class_accuracy/3`` is the accuracy on class 3.
        shuffle: another order every epoch, from ``(seed, epoch)`` alone; ``loader.sampler.epoch`` is the next epoch.
        drop_last: leave out the smaller last batches.
        workers: processes that read; 0 reads here, which is fastest unless the disk is slow.
        together: ``topology``: a batch is of one; ``architecture``: it may mix activations, which a flat model wants.

    Yields ``WeightBatch``; ``zoo.graphs(batch)`` makes a GraphBatch of it. Diverged networks are there too: leave them
    out with ``z.filter(status="ok")``. Raises ValueError when there is nothing to load.
    """
    if not len(zoo):
        raise ValueError(
            f"expected at least one network to load, but nothing of {zoo.root} is left; widen the filter, or name "
            "another split"
        )
    samples = WeightStates(zoo, states, target)
    buckets = bucket_numbers(zoo, together)[samples.index]
    batches = BucketBatches(buckets, batch_size, shuffle, seed, drop_last)
    # The sampler gives whole batches, so that rows are gathered into one buffer rather than stacked.
    return DataLoader(samples, batch_size=None, sampler=batches, num_workers=workers)
