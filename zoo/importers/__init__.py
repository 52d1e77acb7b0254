"""Zoos that others published, read from their own formats into ordinary zoo folders."""

from typing import TYPE_CHECKING

from graphs.lazy import lazy_exports

if TYPE_CHECKING:
    from zoo.importers.importing import import_zoo
    from zoo.importers.registry import FORMATS

__all__ = ["FORMATS", "import_zoo"]

__getattr__, __dir__ = lazy_exports(__name__, {"FORMATS": "registry", "import_zoo": "importing"})
