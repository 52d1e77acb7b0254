"""How the nodes of a graph learn of each other, by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from hypernets.ghn.architecture import ArchitectureBatch
from hypernets.ghn.gated import GatedPropagation
from hypernets.ghn.graphormer import Graphormer


class NoPropagation(nn.Module):
    """Each node by itself, through two layers: the MLP baseline of https://arxiv.org/abs/2110.13100.

    Shapes: ``[N, hidden]`` -> ``[N, hidden]``.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())

    def forward(self, x: Tensor, batch: ArchitectureBatch) -> Tensor:
        return self.mlp(x)


def make_propagation(name: str, hidden: int, virtual_edges: bool, layers: int, heads: int) -> nn.Module:
    """A new module ``([N, hidden], batch) -> [N, hidden]``. Raises ValueError for an unknown name."""
    makers: dict[str, Callable[[], nn.Module]] = {
        "gated": lambda: GatedPropagation(hidden, virtual_edges),
        "graphormer": lambda: Graphormer(hidden, layers, heads),
        "none": lambda: NoPropagation(hidden),
    }
    if name not in makers:
        raise ValueError(f"unknown propagation {name!r}; choose among {', '.join(makers)}")
    return makers[name]()
