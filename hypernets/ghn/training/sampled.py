"""An architecture to train on: its recipe, what a hypernetwork reads of it, and a module without storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from graphs import Recipe, computation_graph, sample_architecture
from hypernets.ghn.architecture import Architecture
from hypernets.ghn.describing import describe_graph
from hypernets.ghn.training.running import storage_free


@dataclass(frozen=True)
class Sampled:
    """A recipe with its Architecture.

    Raises ValueError for one with parameters that no hypernetwork writes.
    """

    recipe: Recipe
    architecture: Architecture

    def __post_init__(self) -> None:
        if self.architecture.own:
            name, reason = self.architecture.own[0]
            raise ValueError(
                f"expected an architecture all of whose parameters are predicted, but {name} of {self.recipe} is not: "
                f"{reason}; train on another space"
            )

    @cached_property
    def module(self) -> nn.Module:
        """The network on the meta device, ready for ``run``; built once."""
        return storage_free(self.recipe)


def sample(space: str, seed: int, *, input_shape: Sequence[int], outputs: int) -> Sampled:
    """The architecture of a space that belongs to a seed; see ``graphs.sample_architecture``.

    >>> sampled = sample("deepnets_small", 3, input_shape=(1, 8, 8), outputs=10)
    >>> {p.device.type for p in sampled.module.parameters()}
    {'meta'}
    """
    recipe = sample_architecture(space, seed, input_shape=input_shape, outputs=outputs)
    return Sampled(recipe, describe_recipe(recipe))


def describe_recipe(recipe: Recipe) -> Architecture:
    """What a hypernetwork reads of a recipe: of the DeepNets space without building it, of others by a trace."""
    if recipe.factory == "deepnet":
        from graphs.deepnets.recipe_graph import recipe_graph

        return describe_graph(recipe_graph(recipe))
    with torch.device("meta"):
        module, inputs = recipe.build(), [x.to("meta") for x in recipe.example_input()]
    return describe_graph(computation_graph(module, *inputs).reduced())
