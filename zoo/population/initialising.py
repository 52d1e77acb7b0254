"""The untrained network of a member."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import init

from graphs.importing import resolve
from graphs.recipe import FAMILIES, Recipe
from zoo.population.pruning import prune
from zoo.population.settings import MemberSettings

if TYPE_CHECKING:
    from zoo.population.job import TrainingJob

SCHEMES: dict[str, Callable[[Tensor], Any]] = {
    "normal": lambda weight: init.normal_(weight, std=0.1),
    "uniform": lambda weight: init.uniform_(weight, -0.1, 0.1),
    "kaiming_uniform": lambda weight: init.kaiming_uniform_(weight, nonlinearity="relu"),
    "kaiming_normal": lambda weight: init.kaiming_normal_(weight, nonlinearity="relu"),
    "xavier_uniform": init.xavier_uniform_,
}


@contextmanager
def random_stream(seed: int) -> Iterator[None]:
    """Torch's global CPU generator, seeded inside the block and put back after it."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def member_recipe(recipe: Mapping[str, Any], settings: MemberSettings) -> Recipe:
    """The job's recipe with the activation and dropout of one member."""
    base = Recipe.from_dict(recipe)
    changes = {
        name: getattr(settings, name) for name in ("activation", "dropout") if getattr(settings, name) is not None
    }
    taken = inspect.signature(resolve(FAMILIES.get(base.factory, base.factory))).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        for name in [name for name in changes if name not in taken]:
            # No dropout is what a network without the argument does anyhow.
            if name == "dropout" and changes[name] == 0:
                del changes[name]
            else:
                raise ValueError(
                    f"{base.factory!r} takes no {name!r}, but a member sets it; it takes {', '.join(taken)}"
                )
    return base.with_arguments(**changes) if changes else base


def initialise(recipe: Mapping[str, Any], settings: MemberSettings) -> nn.Module:
    """The member's network before training, in float32, equal for equal recipe and settings."""
    with random_stream(settings.stream("init")):
        module = member_recipe(recipe, settings).build()
        apply_scheme(module, settings.init, settings.init_scale)
    return module


def member_network(job: TrainingJob, index: int) -> tuple[nn.Module, dict[str, Tensor]]:
    """A member's network before training, in float32, with the masks of what was pruned (``zoo.population.pruning``).

    A member with a start has its weights, and is pruned from there."""
    settings = job.settings[index]
    module = initialise(job.recipe, settings)
    if job.starts is not None:
        module.load_state_dict(dict(job.starts[index]))
    return module, prune(module, settings.sparsity)


@torch.no_grad()
def apply_scheme(module: nn.Module, scheme: str, scale: float) -> None:
    """Redraw the weights (tensors of two axes and more), with biases 0, unless the scheme is "default"; scale them."""
    for name, parameter in module.named_parameters():
        if parameter.ndim >= 2:
            if scheme != "default":
                SCHEMES[scheme](parameter)
            if scale != 1:
                parameter.mul_(scale)
        elif scheme != "default" and name.rsplit(".", 1)[-1] == "bias":
            parameter.zero_()
