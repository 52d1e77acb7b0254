"""Networks that write networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphs.lazy import lazy_exports

if TYPE_CHECKING:
    from hypernets.hub import load
    from hypernets.registry import create, list_models

__all__ = ["create", "list_models", "load"]

__getattr__, __dir__ = lazy_exports(__name__, {"create": "registry", "list_models": "registry", "load": "hub"})
