"""Fixtures for real data that lie beside a checkout; tests that use them skip, with the reason, where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data: METAZOO_DATA, or the folder ``shared`` beside the checkout."""
    folder = Path(os.environ.get("METAZOO_DATA", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder} with real data; set METAZOO_DATA")
    return folder
