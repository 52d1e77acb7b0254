"""What metanetworks can be asked of weights, by name."""

from __future__ import annotations

import importlib
from typing import Any

TASKS = {"accuracy": ("metanets.tasks.accuracy", "AccuracyTask")}


def create_task(name: str, **arguments: Any) -> Any:
    """The task of that name; a ValueError lists the choices.

    >>> create_task("accuracy").monitor
    'r2'
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; choose from {', '.join(sorted(TASKS))}")
    module, attribute = TASKS[name]
    return getattr(importlib.import_module(module), attribute)(**arguments)
