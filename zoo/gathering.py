"""Rows of weights out of many mapped shards, copied once, into one buffer."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.shards import Shard


class MappedStates:
    """The states of every shard of a zoo, each mapped when it is first touched; nothing is held in memory.

    Args:
        root: folder of the zoo.
        files: shard -> its file within the folder.
    """

    def __init__(self, root: Path, files: Mapping[int, str]) -> None:
        self.root, self.files = root, dict(files)
        self._states: dict[int, np.ndarray] = {}

    def gather(self, shards: np.ndarray, states: np.ndarray, places: np.ndarray) -> Tensor:
        """Weights ``[B, P]`` of the states at the given places; all three ``[B]``."""
        mapped = [self._of(shard) for shard in shards.tolist()]
        first = mapped[0]
        out = torch.from_numpy(np.empty((len(mapped), first.shape[-1]), first.dtype))
        # A row at a time: grouping the rows by shard costs more than it saves at a few rows a shard.
        for line, source, state, place in zip(out.numpy(), mapped, states.tolist(), places.tolist(), strict=True):
            line[:] = source[state, place]
        return out

    def _of(self, shard: int) -> np.ndarray:
        """``[T, E, P]``"""
        if shard not in self._states:
            if shard not in self.files:
                raise ValueError(
                    f"{self.root}: the manifest has no readable line for shard {shard}; `zoo build` with the same spec "
                    "trains it again"
                )
            self._states[shard] = Shard.open(self.root / self.files[shard]).states.numpy()
        return self._states[shard]

    def __reduce__(self) -> tuple[type, tuple[Path, dict[int, str]]]:
        # Another process maps the files itself.
        return MappedStates, (self.root, self.files)
