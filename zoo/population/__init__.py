"""Training many networks: the reference trainer, one at a time, and the stacked one, many at once."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.population.job import TRAINERS, PopulationResult, TrainingJob, train
    from zoo.population.settings import INITS, OPTIMISERS, MemberSettings
    from zoo.population.stacked import stackable, why_not_stackable

__all__ = [
    "INITS",
    "OPTIMISERS",
    "TRAINERS",
    "MemberSettings",
    "PopulationResult",
    "TrainingJob",
    "stackable",
    "train",
    "why_not_stackable",
]

# Public name -> submodule; imported on first use, so that asking for a choice never waits for torch.
_EXPORTS = {
    "INITS": "settings",
    "OPTIMISERS": "settings",
    "TRAINERS": "job",
    "MemberSettings": "settings",
    "PopulationResult": "job",
    "TrainingJob": "job",
    "stackable": "stacked",
    "train": "job",
    "why_not_stackable": "stacked",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'zoo.population' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"zoo.population.{_EXPORTS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
