"""Networks that read the weights of other networks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metanets.fitting import FitResult, fit
    from metanets.hub import load
    from metanets.loading import Batch, GraphLoader, Sample
    from metanets.registry import create, list_models

_EXPORTS = {
    "Batch": "loading",
    "FitResult": "fitting",
    "GraphLoader": "loading",
    "Sample": "loading",
    "create": "registry",
    "fit": "fitting",
    "list_models": "registry",
    "load": "hub",
}

__all__ = ["Batch", "FitResult", "GraphLoader", "Sample", "create", "fit", "list_models", "load"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'metanets' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"metanets.{_EXPORTS[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
