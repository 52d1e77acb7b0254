"""The two ways to stack networks: layers written by hand where these are all there is, torch.vmap for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from graphs.recipe import Recipe
from zoo.population.initialising import member_recipe, random_stream
from zoo.population.job import TrainingJob
from zoo.population.samples import JobSamples
from zoo.population.stacked_modules import StackedModules
from zoo.population.stacked_network import StackedNetwork, why_not_sequential
from zoo.population.stacked_trial import why_not_vmapped
from zoo.sources import Dataset


class StackNetwork(Protocol):
    """E networks that a Stack trains; see StackedNetwork and StackedModules."""

    weights: Tensor
    gradients: Tensor
    by_hand: bool

    def forward(self, x: Tensor, training: bool) -> Tensor: ...

    def backward(self, dy: Tensor) -> None: ...

    def states(self) -> Tensor: ...

    def other(self) -> dict[str, Tensor]: ...


def stack_networks(
    modules: Sequence[nn.Module], generators: list[torch.Generator], dtype: torch.dtype, device: torch.device | str
) -> StackNetwork:
    """The members' networks as one."""
    if why_not_sequential(modules[0]) is None:
        return StackedNetwork(modules, generators, dtype, device)
    return StackedModules(modules, dtype, device)


def stackable(recipe: Mapping[str, Any], x: Tensor | None = None) -> bool:
    """Whether the stacked trainer takes the recipe; ``why_not_stackable`` gives the reason if not."""
    return why_not_stackable(recipe, x) is None


def why_not_stackable(recipe: Mapping[str, Any], x: Tensor | None = None) -> str | None:
    """The reason why the stacked trainer does not take a recipe, or None when it does.

    Args:
        recipe: ``Recipe.to_dict()``.
        x: a batch of its inputs ``[B, ...]``; by default the recipe's own example.

    >>> why_not_stackable({"factory": "mlp"}) is None, why_not_stackable({"factory": "vit"}) is None
    (True, True)
    """
    made = Recipe.from_dict(recipe)
    build = _seeded(made)
    if why_not_sequential(build(0)) is None:
        return None
    return why_not_vmapped(build, made.example_input(batch=8)[0] if x is None else x)


def _seeded(recipe: Recipe) -> Callable[[int], nn.Module]:
    def build(seed: int) -> nn.Module:
        with random_stream(seed):
            return recipe.build()

    return build


def why_not_trained(job: TrainingJob, data: Dataset) -> str | None:
    """The same for all members of a job, with their own activations and dropout rates."""
    x = JobSamples(job, data, torch.float32).of(job.settings[0]).train_x[: job.batch_size]
    return next((reason for recipe in _recipes(job) if (reason := why_not_stackable(recipe, x))), None)


def differ_freely(job: TrainingJob) -> bool:
    """Whether members of one stack may differ in activation and dropout rate: where all layers are written by hand."""
    return all(why_not_sequential(_seeded(Recipe.from_dict(recipe))(0)) is None for recipe in _recipes(job))


def _recipes(job: TrainingJob) -> list[dict[str, Any]]:
    """The different recipes among the members."""
    found = {member_recipe(job.recipe, settings): None for settings in job.settings}
    return [recipe.to_dict() for recipe in found]
