"""torchvision where its wheel, built for CUDA, does not import beside the CPU build of torch."""

from __future__ import annotations

import sys
import types
import warnings


def importable_torchvision() -> None:
    """Import torchvision, without the registrations of its compiled operations if need be."""
    warnings.filterwarnings("ignore", module="torchvision|timm|transformers")
    try:
        import torchvision
    except (ImportError, RuntimeError):
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        registrations = "torchvision._meta_registrations"
        sys.modules[registrations] = types.ModuleType(registrations)
        import torchvision  # noqa: F401
