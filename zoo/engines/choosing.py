"""Which engines there are, and which options each of them takes."""

from collections.abc import Callable, Sequence
from pathlib import Path

from zoo.engines.events import Tell
from zoo.engines.inline import train_inline
from zoo.engines.options import PATIENCE, EngineOptions
from zoo.engines.pool import train_in_pool
from zoo.engines.ray_tasks import train_on_ray
from zoo.engines.slurm_arrays import train_on_slurm

Engine = Callable[[Path, Sequence[int], EngineOptions, Tell], None]

ENGINES: dict[str, Engine] = {
    "local": train_in_pool,
    "inline": train_inline,
    "ray": train_on_ray,
    "slurm": train_on_slurm,
}
DEFAULTS = {"address": None, "gpus": 0.0, "patience": PATIENCE}
TAKES = {"local": {"patience"}, "inline": set(), "ray": {"address", "gpus", "patience"}}
TAKES["slurm"] = TAKES["ray"]


def choose(name: str, options: EngineOptions) -> Engine:
    """An engine by name; without workers it is always ``inline``.

    Raises ValueError for an unknown engine, or an option that it does not take.

    >>> choose("local", EngineOptions(workers=0)).__name__
    'train_inline'
    """
    if name not in ENGINES:
        raise ValueError(f"engine: expected one of {', '.join(ENGINES)}, got {name!r}")
    name = "inline" if options.workers == 0 else name
    for option, default in DEFAULTS.items():
        if getattr(options, option) != default and option not in TAKES[name]:
            takers = ", ".join(engine for engine in ENGINES if option in TAKES[engine])
            raise ValueError(f"{option}: the engine {name} takes none; leave it out, or choose one of {takers}")
    return ENGINES[name]
