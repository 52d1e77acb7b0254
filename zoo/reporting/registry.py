"""The sections of the page in their order; a new one is a file in ``plots/`` and a line here."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from zoo.reporting.section import Section

if TYPE_CHECKING:
    from zoo.reporting.survey import Survey

SECTIONS = (
    "distributions",
    "coordinates",
    "curves",
    "projections",
    "norms",
    "diverged",
    "duplicates",
    "sizes",
    "provenance",
)


def make_section(name: str, survey: "Survey") -> Section:
    """One section of ``SECTIONS``."""
    make: Callable[[Survey], Section] = import_module(f"zoo.reporting.plots.{name}").section
    return make(survey)
