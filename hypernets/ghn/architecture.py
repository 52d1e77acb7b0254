"""What a graph hypernetwork reads of a network and what it has to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from hypernets.ghn.levels import topological_levels
from hypernets.ghn.target import Target

# Of DeepNets-1M (https://arxiv.org/abs/2110.13100), in the order of published checkpoints; then those beyond it.
PUBLISHED = tuple(
    "max_pool avg_pool sep_conv dil_conv conv msa cse sum concat input bias bn ln pos_enc glob_avg".split()
)
PRIMITIVES = (*PUBLISHED, *"gn scale mul matmul softmax embedding recurrent parameter output".split())


@dataclass(frozen=True)
class Architecture:
    """One network as a graph hypernetwork sees it.

    Args:
        primitive: ``[N]`` int64, numbers of ``PRIMITIVES``, in topological order.
        shape: ``[N, 4]`` int64, ``(out, in, height, width)`` of the parameter at a node or of the kernel of a pooling
            node; 0 where there is none.
        distance: ``[N, N]`` int64, lengths of shortest directed paths, 0 where there is none.
        targets: the parameters to be written.
        own: parameters that the module's own rule initialises -> the reason, in words for the report.
    """

    primitive: Tensor
    shape: Tensor
    distance: Tensor
    targets: tuple[Target, ...]
    own: tuple[tuple[str, str], ...] = ()

    @property
    def num_nodes(self) -> int:
        return self.primitive.numel()

    @cached_property
    def levels(self) -> Tensor:
        """``[2, N]`` int64 on the CPU: edges on the longest path to a node, and from it; see :mod:`levels`."""
        return topological_levels(self.distance)


@dataclass(frozen=True)
class ArchitectureBatch:
    """Several architectures, their nodes one after the other.

    Args:
        primitive, shape: as of one, ``[N]`` and ``[N, 4]`` with N nodes in all.
        distances: the matrix of each.
        architectures: they themselves, on the CPU.
        targets: those of each; their nodes count within their own architecture.
    """

    primitive: Tensor
    shape: Tensor
    distances: tuple[Tensor, ...]
    architectures: tuple[Architecture, ...]
    targets: tuple[tuple[Target, ...], ...]

    @property
    def levels(self) -> tuple[Tensor, ...]:
        """Those of each; see :attr:`Architecture.levels`."""
        return tuple(a.levels for a in self.architectures)

    @cached_property
    def first_nodes(self) -> tuple[int, ...]:
        """Number of the first node of each architecture."""
        firsts = [0]
        for distance in self.distances[:-1]:
            firsts.append(firsts[-1] + len(distance))
        return tuple(firsts)

    def to(self, device: torch.device | str) -> ArchitectureBatch:
        return replace(
            self,
            primitive=self.primitive.to(device),
            shape=self.shape.to(device),
            distances=tuple(d.to(device) for d in self.distances),
        )


def collate_architectures(architectures: Sequence[Architecture]) -> ArchitectureBatch:
    """One batch of the architectures, in their order. Raises ValueError for none."""
    if not architectures:
        raise ValueError("expected one architecture or more, got none")
    return ArchitectureBatch(
        primitive=torch.cat([a.primitive for a in architectures]),
        shape=torch.cat([a.shape for a in architectures]),
        distances=tuple(a.distance for a in architectures),
        architectures=tuple(architectures),
        targets=tuple(a.targets for a in architectures),
    )
