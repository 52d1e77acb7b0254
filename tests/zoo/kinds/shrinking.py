"""A kind of zoo as its YAML file says, made so small that a test builds it in seconds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo import Zoo, ZooSpec, build

SPECS = Path(__file__).parents[3] / "scripts" / "specs"


def spec_of(kind: str, **changes: Any) -> ZooSpec:
    """The spec of a kind with other values in some of its fields."""
    return replace(ZooSpec.from_yaml(SPECS / f"{kind}.yaml"), **changes)


def built(spec: ZooSpec, folder: Path) -> Zoo:
    """The zoo of a spec, built in this process."""
    return build(spec, folder / "zoo", workers=0, progress=False)


def final(zoo: Zoo, metric: str) -> np.ndarray:
    """A metric of the last states ``[M]``."""
    return np.array([member.metrics[metric][-1] for member in zoo])


def settings_that_differ(zoo: Zoo, names: list[str]) -> set[str]:
    """Which of these columns have more than one value."""
    return {name for name in names if len(set(map(str, zoo.table[name].to_pylist()))) > 1}
