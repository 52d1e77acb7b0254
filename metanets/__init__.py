"""Networks that read the weights of other networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphs.lazy import lazy_exports

if TYPE_CHECKING:
    from metanets.fitting import FitResult, fit
    from metanets.hub import load
    from metanets.loading import Batch, GraphLoader, Sample
    from metanets.registry import create, list_models

__all__ = ["Batch", "FitResult", "GraphLoader", "Sample", "create", "fit", "list_models", "load"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Batch": "loading",
        "FitResult": "fitting",
        "GraphLoader": "loading",
        "Sample": "loading",
        "create": "registry",
        "fit": "fitting",
        "list_models": "registry",
        "load": "hub",
    },
)
