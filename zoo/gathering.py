"""Rows of weights out of many mapped shards, copied once, into one buffer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.shards import Shard


@dataclass(frozen=True)
class _Mapped:
    """The states of a shard as bytes ``[T, E, P * itemsize]``, since numpy has not every dtype of torch."""

    data: np.ndarray
    dtype: torch.dtype


class MappedStates:
    """The states of every shard of a zoo, each mapped when it is first touched; nothing is held in memory.

    Args:
        root: folder of the zoo.
        files: shard -> its file within the folder.
    """

    def __init__(self, root: Path, files: Mapping[int, str]) -> None:
        self.root, self.files = root, dict(files)
        self._states: dict[int, _Mapped] = {}

    def gather(self, shards: np.ndarray, states: np.ndarray, places: np.ndarray) -> Tensor:
        """Weights ``[B, P]`` of the states at the given places; all three ``[B]``."""
        first = self._of(int(shards[0]))
        out = np.empty((len(shards), first.data.shape[-1]), np.uint8)
        # A row at a time: grouping the rows by shard costs more than it saves at a few rows a shard.
        mapped = [self._of(shard).data for shard in shards.tolist()]
        for line, source, state, place in zip(out, mapped, states.tolist(), places.tolist(), strict=True):
            line[:] = source[state, place]
        return torch.from_numpy(out).view(first.dtype)

    def _of(self, shard: int) -> "_Mapped":
        if shard not in self._states:
            if shard not in self.files:
                raise ValueError(
                    f"{self.root}: the manifest has no readable line for shard {shard}; `zoo build` with the same spec "
                    "trains it again"
                )
            states = Shard.open(self.root / self.files[shard]).states
            self._states[shard] = _Mapped(states.view(torch.uint8).numpy(), states.dtype)
        return self._states[shard]

    def __reduce__(self) -> tuple[type, tuple[Path, dict[int, str]]]:
        # Another process maps the files itself.
        return MappedStates, (self.root, self.files)
