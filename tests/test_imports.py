"""Imports point downward: graphs knows nothing of ours, zoo and metanets know graphs, and so on."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"graphs": set(), "zoo": {"graphs"}, "metanets": {"graphs"}, "hypernets": {"graphs", "metanets"}}
FILES = sorted(p for name in PACKAGES for p in (ROOT / name).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level names of every import of a file, those inside functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_import_directions(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    allowed = PACKAGES[package] | {package}
    if package in ("metanets", "hypernets") and ("tasks" in path.parts or path.name == "__main__.py"):
        allowed |= {"zoo"}
    assert imported(path) & PACKAGES.keys() <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_unpickles_or_needs_torchvision(path: Path) -> None:
    assert not imported(path) & {"torchvision", "dill", "joblib", "cloudpickle"}
    for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        assert not name.startswith("pickle.")
        if name == "torch.load":
            assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in call.keywords)
