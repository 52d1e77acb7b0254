"""Sums over slices of P, and slices of P multiplied, in place of an index of every element."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from graphs.boxes import spread
from graphs.scaling.links import owners
from graphs.scaling.scales import Scale, Slice
from graphs.topology import BoxAxis, ParameterBlock, Topology


def draw_factors(
    topology: Topology, scales: Sequence[Scale], generator: torch.Generator | None = None
) -> tuple[Tensor, ...]:
    """A random factor for every neuron of every scale ``[group size]``: log-normal (deviation 1/2), or a sign."""
    factors = []
    for scale in scales:
        noise = torch.randn(topology.groups[scale.group].size, dtype=torch.float64, generator=generator)
        factors.append((noise / 2).exp() if scale.continuous else noise.sign())
    return tuple(factors)


def rescaled(topology: Topology, flat: Tensor, scales: Sequence[Scale], factors: Sequence[Tensor]) -> Tensor:
    """A copy of P with the slices multiplied, rounded once to the dtype of ``flat``."""
    out = flat.to(torch.promote_types(flat.dtype, torch.float32), copy=True).contiguous()
    rescale(topology, uses_of(topology), out, scales, factors)
    return out.to(flat.dtype)


def rescale(
    topology: Topology,
    uses: Mapping[tuple, Sequence[ParameterBlock]],
    flat: Tensor,
    scales: Sequence[Scale],
    factors: Sequence[Tensor],
) -> None:
    """Multiply the slices of a contiguous P in place; each use is visited once for each of its ends."""
    at_entry: dict[tuple, Tensor] = {}
    for scale, factor in zip(scales, factors, strict=True):
        for part, exponent in zip(scale.slices, scale.exponents, strict=True):
            size = topology.sites[part.site].size
            entries, neurons = entries_of(topology, part)
            values = at_entry.setdefault((part.use, part.end), torch.ones(size, dtype=torch.float64))
            values[entries] *= factor[neurons] ** exponent
    for (use, end), values in at_entry.items():
        for block, view in boxes(uses[use], flat):
            view.mul_(values[_along(block, end)].to(flat))


def uses_of(topology: Topology) -> dict[tuple, list[ParameterBlock]]:
    """The blocks of every use (parameter, source, target)."""
    uses: dict[tuple, list[ParameterBlock]] = {}
    for block in topology.blocks:
        uses.setdefault((block.parameter, block.source, block.target), []).append(block)
    return uses


def sums(topology: Topology, blocks: Sequence[ParameterBlock], end: str, flat: Tensor) -> Tensor:
    """Sum of the elements at every entry of the site at one end of a use ``[site size]``."""
    site = blocks[0].target if end == "target" else blocks[0].source
    assert site is not None
    total = flat.new_zeros(topology.sites[site].size)
    for block, view in boxes(blocks, flat):
        index = _along(block, end)
        others = [d for d, n in enumerate(index.shape) if n == 1]
        total.index_add_(0, index.reshape(-1), (view.sum(others) if others else view).reshape(-1))
    return total


def entries_of(topology: Topology, part: Slice) -> tuple[Tensor, Tensor]:
    """Entries of the slice's site at which its neurons stand, beside the neurons that are scaled."""
    entries, neurons, start = [], [], 0
    for run in topology.sites[part.site].runs:
        if (run.group, run.rank) == (part.group, part.rank):
            entries.append(torch.arange(start, start + run.count))
            neurons.append(run.first + run.step * torch.arange(run.count))
        start += run.count
    return torch.cat(entries), owners(topology, part.group, part.path)[torch.cat(neurons)]


def boxes(blocks: Sequence[ParameterBlock], flat: Tensor) -> Iterator[tuple[ParameterBlock, Tensor]]:
    """The elements of every block as a view of a contiguous P."""
    for block in blocks:
        yield block, flat.as_strided([a.size for a in block.axes], [a.stride for a in block.axes], block.offset)


def _along(block: ParameterBlock, end: str) -> Tensor:
    """Entry at one end along every axis of a block; axes that do not move it are of size 1."""
    first = block.first_target if end == "target" else block.first_source
    steps = [_step(a, end) for a in block.axes]
    return torch.from_numpy(spread(first, [(a.size if s else 1, s) for a, s in zip(block.axes, steps, strict=True)]))


def _step(axis: BoxAxis, end: str) -> int:
    return axis.target if end == "target" else axis.source
