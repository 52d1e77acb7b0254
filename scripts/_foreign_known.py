"""What is known of the networks of a foreign zoo, with what writing such zoos takes."""

from __future__ import annotations

import csv
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Known:
    """What is known of one network: the end of its source, an input, its outputs at every kept state, its columns."""

    source: str
    x: Tensor
    outputs: list[Tensor]
    epochs: list[int]
    columns: dict[str, Any] = field(default_factory=dict)


def draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) * 0.5).astype(np.float32)


def save_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        write_csv(file, rows)


def write_csv(file: Any, rows: list[dict[str, Any]]) -> None:
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)


class AbsentModule:
    """Names a module that is not there while objects of its classes are pickled."""

    def __init__(self, name: str):
        self.name = name
        self.module = types.ModuleType(name)

    def add(self, name: str, **attributes: Any) -> type:
        made = type(name, (), {"__module__": self.name, "__init__": _take, **attributes})
        setattr(self.module, name, made)
        return made

    def __enter__(self) -> AbsentModule:
        sys.modules[self.name] = self.module
        return self

    def __exit__(self, *_: object) -> None:
        del sys.modules[self.name]


def _take(self: Any, **attributes: Any) -> None:
    self.__dict__.update(attributes)
