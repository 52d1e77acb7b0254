"""One tiny zoo that the tests share, and how to vary and compare it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo import Zoo, ZooSpec, build


@pytest.fixture(scope="session")
def small_spec() -> Callable[..., ZooSpec]:
    """Makes the spec of twelve networks of two families in four shards, each trained in a blink, with changes."""

    def make(**changes: Any) -> ZooSpec:
        spec: dict[str, Any] = {
            "data": {"source": "digits", "limit": 60},
            "recipes": [{"factory": "mlp", "random": {"width": [4, 6]}}, {"factory": "cnn", "fixed": {"width": 2}}],
            "members": 12,
            "random": {"activation": ["relu", "tanh"], "lr": {"loguniform": [1e-3, 1e-1]}, "dropout": [0.0, 0.3]},
            "epochs": 2,
            "keep": [0, 2],
            "trainer": "reference",
            "shard_size": 3,
        }
        return ZooSpec.from_dict(spec | changes)

    return make


@pytest.fixture(scope="session")
def content() -> Callable[[Path], dict[str, bytes]]:
    """Reads every file of a zoo that must not depend on how it was built, by name."""

    def read(root: Path) -> dict[str, bytes]:
        paths = [p for p in root.rglob("*") if p.is_file() and p.name not in (".lock", "manifest.jsonl")]
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(paths)}

    return read


@pytest.fixture(scope="session")
def small_zoo(small_spec: Callable[..., ZooSpec], tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """The undisturbed zoo of ``small_spec()``, built in this process; tests must not write to it."""
    return build(small_spec(), tmp_path_factory.mktemp("small") / "zoo", workers=0, progress=False)


TIED = """
from torch import nn

class Tied(nn.Module):
    def __init__(self, activation="relu"):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.head(self.second(self.first(x.flatten(1)).relu()).relu())
"""


@pytest.fixture(scope="session")
def varied_zoo(small_spec: Callable[..., ZooSpec], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    """Networks of all sorts in one zoo: tied weights, integer entries, a diverged network, images; not to be written
    to."""
    code = tmp_path_factory.mktemp("code")
    (code / "tied_nets.py").write_text(TIED)
    sys.path.insert(0, str(code))
    recipes = [
        {"factory": "mlp", "random": {"width": [4, 6]}},
        {"factory": "mlp", "fixed": {"lr": 1e30, "optimiser": "sgd", "momentum": 0.0}},
        {"factory": "resnet"},
        {"factory": "tied_nets:Tied"},
        {"factory": "siren"},
    ]
    spec = small_spec(recipes=recipes, members=15, random={"activation": ["relu", "tanh"]})
    yield build(spec, tmp_path_factory.mktemp("varied") / "zoo", workers=0, progress=False)
    sys.path.remove(str(code))


@pytest.fixture(scope="session")
def same_bits() -> Callable[..., bool]:
    """Tells whether two state_dicts have the same entries in the same order, bit for bit, NaN included."""

    def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
        def bits(tensor: torch.Tensor) -> tuple[Any, ...]:
            return tensor.dtype, tuple(tensor.shape), tensor.numpy().tobytes()

        return list(first) == list(second) and all(bits(first[name]) == bits(second[name]) for name in first)

    return same
