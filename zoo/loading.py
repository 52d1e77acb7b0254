"""Batches of networks as graphs, for training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

if TYPE_CHECKING:
    from graphs import GraphBatch, ParameterGraph
    from zoo.store import Zoo


class GraphSamples(Dataset[tuple["ParameterGraph", Tensor]]):
    """The states of a zoo's networks, each with its targets.

    Args:
        zoo: the networks.
        states: ``all`` kept states, or the ``final`` one of each network.
        target: metrics of the state, or numeric columns of the row, such as ``test_accuracy`` or ``lr``.
    """

    def __init__(self, zoo: "Zoo", states: str, target: Sequence[str]):
        self.zoo, self.target = zoo, list(target)
        self.samples = zoo.samples(states)
        for name in self.target:
            _check_numeric(zoo, name)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple["ParameterGraph", Tensor]:
        number, state = self.samples[index]
        member = self.zoo[number]
        values = [self.zoo.store.column(name)[member.number] for name in self.target]
        # A metric has one value a state, a hyper-parameter one a network.
        return member.graph(state), torch.tensor([v[state] if isinstance(v, list) else v for v in values])


def _check_numeric(zoo: "Zoo", name: str) -> None:
    values = zoo.store.column(name)
    for number in zoo.numbers:
        parts = values[number] if isinstance(values[number], list) else [values[number]]
        if not all(isinstance(part, (int, float)) for part in parts):
            raise ValueError(
                f"target: expected a numeric column, got {name!r}, which holds {values[number]!r}; "
                "give a metric such as test_accuracy or a number such as lr, or filter out the networks without it"
            )


def make_loader(
    zoo: "Zoo",
    batch_size: int,
    states: str,
    target: str | Sequence[str],
    shuffle: bool,
    generator: torch.Generator | None,
    workers: int,
) -> DataLoader[Any]:
    """Batches of the states of a zoo's networks.

    Args:
        batch_size: states a batch.
        states, target: see GraphSamples.
        shuffle: another order every epoch, from ``generator``.
        workers: processes that read; 0 reads here.

    Yields ``(GraphBatch, targets)``; targets are float32, ``[B]`` for one target and ``[B, targets]`` for a list.
    Diverged networks are there too: leave them out with ``z.filter(status="ok")``.
    """
    single = isinstance(target, str)
    samples = GraphSamples(zoo, states, [target] if isinstance(target, str) else target)

    def join(parts: list[tuple["ParameterGraph", Tensor]]) -> tuple["GraphBatch", Tensor]:
        from graphs import collate

        targets = torch.stack([values for _, values in parts]).float()
        return collate([graph for graph, _ in parts]), targets[:, 0] if single else targets

    return DataLoader(samples, batch_size, shuffle, generator=generator, num_workers=workers, collate_fn=join)
