"""From statistics of the messages into a node to the reductions that models ask for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphs.kernels.table import BlockTable

STD_EPSILON = 1e-5
# The statistics from which a reduction is computed.
NEEDS: dict[str, tuple[str, ...]] = {
    "sum": ("sum",),
    "mean": ("sum",),
    "max": ("max",),
    "min": ("min",),
    "std": ("sum", "square"),
}


def statistics_for(reduce: Sequence[str]) -> tuple[str, ...]:
    """The statistics that these reductions need, each once. Raises ValueError for an unknown reduction.

    >>> statistics_for(("mean", "std", "max"))
    ('sum', 'square', 'max')
    """
    for name in reduce:
        if name not in NEEDS:
            raise ValueError(f"unknown reduction {name!r}; choose among {sorted(NEEDS)}")
    return tuple(dict.fromkeys(need for name in reduce for need in NEEDS[name]))


def reductions(reduce: Sequence[str], found: Sequence[Tensor], table: BlockTable) -> tuple[Tensor, ...]:
    """The reductions from the statistics of :func:`statistics_for`, a ``[N, G]`` each.

    ``std`` is ``sqrt(relu(mean(x^2) - mean(x)^2) + 1e-5)``, the aggregator of PNA (https://arxiv.org/abs/2004.05718);
    a node without edges gets 0 (and ``sqrt(1e-5)`` for std).
    """
    values = dict(zip(statistics_for(reduce), found, strict=True))
    if "mean" in reduce or "std" in reduce:
        degree = table.degree.clamp(min=1).to(values["sum"].dtype)[:, None]
        values["mean"] = values["sum"] / degree
        if "std" in reduce:
            variance = values["square"] / degree - values["mean"] * values["mean"]
            values["std"] = torch.sqrt(torch.relu(variance) + STD_EPSILON)
    return tuple(values[name] for name in reduce)
