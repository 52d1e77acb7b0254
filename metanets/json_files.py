"""JSON files that are whole or not there."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from graphs.durable import write_durably


def write_json(path: str | Path, value: Any) -> None:
    """Write durably, the folder made if needed; a number that is not finite becomes null."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, (json.dumps(_finite(value), indent=2) + "\n").encode())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
