"""The report on a zoo as one HTML page."""

from typing import TYPE_CHECKING

from graphs.lazy import lazy_exports

if TYPE_CHECKING:
    from zoo.reporting.writing import write_report

__all__ = ["write_report"]

__getattr__, __dir__ = lazy_exports(__name__, {"write_report": "writing"})
