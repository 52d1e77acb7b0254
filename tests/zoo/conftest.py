"""One tiny zoo that the tests share, and how to vary and compare it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
