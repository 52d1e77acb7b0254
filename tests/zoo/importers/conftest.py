"""Foreign zoos in their published layouts, each written once, with what their networks say."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "scripts"))
from _foreign_zoos import WRITERS


@pytest.fixture
def published(tmp_path: Path) -> Callable[[str], tuple[Path, list[Any]]]:
    """Writes the foreign zoo of a format: its folder, and what is known of its networks."""

    def write(format: str) -> tuple[Path, list[Any]]:
        if format == "gpt":
            pytest.importorskip("lmdb", reason="writing the LMDB of G.pt takes lmdb, an extra for tests")
        folder = tmp_path / f"published-{format}"
        folder.mkdir()
        return folder, WRITERS[format](folder, np.random.default_rng(7))

    return write
