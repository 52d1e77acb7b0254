"""Networks that write networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphs.lazy import lazy_exports

if TYPE_CHECKING:
    from hypernets.ghn.batch_statistics import use_batch_statistics
    from hypernets.ghn.streaming import predict_to_file
    from hypernets.hub import list_checkpoints, load
    from hypernets.registry import create, list_models

__all__ = ["create", "list_checkpoints", "list_models", "load", "predict_to_file", "use_batch_statistics"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "create": "registry",
        "list_checkpoints": "hub",
        "list_models": "registry",
        "load": "hub",
        "predict_to_file": "ghn.streaming",
        "use_batch_statistics": "ghn.batch_statistics",
    },
)
