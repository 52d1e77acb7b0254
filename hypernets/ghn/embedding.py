"""One vector an architecture: statistics of what a graph hypernetwork makes of its nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from graphs.deepnets.recipe_graph import FAMILY, recipe_graph
from graphs.recipe import Recipe
from hypernets.ghn.architecture import PRIMITIVES, Architecture, ArchitectureBatch, collate_architectures
from hypernets.ghn.describing import describe, describe_graph

# Of the embeddings [N, hidden] of one architecture's nodes.
STATISTICS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda nodes: nodes.mean(0),
    "std": lambda nodes: nodes.std(0, correction=0),
    "max": lambda nodes: nodes.amax(0),
    "size": lambda nodes: nodes.new_tensor([len(nodes)]).log(),
}


class Embeds(Protocol):
    """A graph hypernetwork, as far as this file needs one."""

    config: dict[str, Any]

    def embed(self, batch: ArchitectureBatch) -> Tensor:
        """``[N, hidden]``, the nodes of all architectures one after the other."""
        ...


def embed_architecture(
    ghn: Embeds,
    network: nn.Module | Recipe | Architecture,
    *inputs: Any,
    statistics: Sequence[str] = ("mean",),
    **kwargs: Any,
) -> Tensor:
    """The embedding ``[F]`` of one network, however it is given; see :func:`embed_architectures`.

    Args:
        inputs, kwargs: example inputs of a module, which may be on the meta device; a recipe knows its own.

    >>> import hypernets
    >>> embed_architecture(hypernets.create("ghn2"), nn.Linear(4, 2), torch.zeros(1, 4)).shape
    torch.Size([32])
    """
    if isinstance(network, nn.Module):
        network = describe(network, *inputs, primitives=_words(ghn), **kwargs)
    elif isinstance(network, Recipe):
        network = _described(network, _words(ghn))
    return embed_architectures(ghn, [network], statistics)[0]


def embed_recipes(ghn: Embeds, recipes: Sequence[Recipe], statistics: Sequence[str] = ("mean",)) -> Tensor:
    """The embeddings ``[A, F]`` of networks that recipes make; see :func:`embed_architectures`."""
    return embed_architectures(ghn, [_described(recipe, _words(ghn)) for recipe in recipes], statistics)


def _words(ghn: Embeds) -> tuple[str, ...]:
    return PRIMITIVES[: ghn.config["primitives"]]


def _described(recipe: Recipe, primitives: Sequence[str]) -> Architecture:
    if recipe.factory == FAMILY:
        return describe_graph(recipe_graph(recipe), primitives=primitives)
    return describe(recipe.build(), *recipe.example_input(), primitives=primitives)


def embed_architectures(
    ghn: Embeds, architectures: Sequence[Architecture], statistics: Sequence[str] = ("mean",), nodes: int = 2048
) -> Tensor:
    """The embeddings of architectures, by default the mean over the nodes of each (GHN-2, section 5.3,
    https://arxiv.org/abs/2110.13100).

    Args:
        ghn: anything with ``embed``; trained or not.
        architectures: A of them, each with a node at least.
        statistics: which of ``STATISTICS`` to put one behind the other; ``size`` is the logarithm of the number of
            nodes, which a mean forgets.
        nodes: most nodes in one batch; a larger architecture is a batch of its own.

    Shapes: ``[A, F]`` on the CPU, F = hidden for each of mean, std and max, and 1 for size.

    Raises ValueError for an unknown statistic, for no architectures, and for one without nodes.
    """
    unknown = [name for name in statistics if name not in STATISTICS]
    if unknown or not statistics:
        raise ValueError(f"statistics: expected some of {', '.join(STATISTICS)}, got {', '.join(unknown) or 'none'}")
    empty = [i for i, a in enumerate(architectures) if not a.num_nodes]
    if empty or not architectures:
        raise ValueError(
            f"architecture {empty[0]} has no nodes to embed; leave it out"
            if empty
            else "expected one architecture or more, got none"
        )
    rows = []
    with torch.no_grad():
        for group in _groups(architectures, nodes):
            parts = ghn.embed(collate_architectures(group)).split([a.num_nodes for a in group])
            rows += [torch.cat([STATISTICS[name](part) for name in statistics]) for part in parts]
    return torch.stack(rows).cpu()


def _groups(architectures: Sequence[Architecture], nodes: int) -> Iterator[list[Architecture]]:
    """Neighbours that have at most so many nodes together."""
    group: list[Architecture] = []
    for architecture in architectures:
        if group and sum(a.num_nodes for a in group) + architecture.num_nodes > nodes:
            yield group
            group = []
        group.append(architecture)
    yield group
