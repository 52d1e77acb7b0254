"""What the general way gets wrong for single types of transformers: configuration, class and inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CONFIGS: dict[str, dict[str, Any]] = {}
CLASSES: dict[str, str] = {}
INPUTS: dict[str, Callable[[Any], dict[str, Any]]] = {}
