"""Training many networks: the reference trainer, one at a time, and the stacked one, many at once."""

from typing import TYPE_CHECKING

from graphs.lazy import lazy_exports

if TYPE_CHECKING:
    from zoo.population.job import TRAINERS, PopulationResult, TrainingJob, train
    from zoo.population.settings import INITS, OPTIMISERS, MemberSettings
    from zoo.population.stacked_ways import stackable, why_not_stackable

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

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "INITS": "settings",
        "OPTIMISERS": "settings",
        "TRAINERS": "job",
        "MemberSettings": "settings",
        "PopulationResult": "job",
        "TrainingJob": "job",
        "stackable": "stacked_ways",
        "train": "job",
        "why_not_stackable": "stacked_ways",
    },
)
