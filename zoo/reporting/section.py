"""A section of the page: a heading, one plain sentence, then plots, tables and texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Plot:
    """A plot.

    Args:
        name: its id on the page.
        figure: what is drawn.
        title: a small heading above it.
        choices: (name, title) of its views; a trace whose ``meta`` is a view's name is drawn in that view only.
    """

    name: str
    figure: "go.Figure"
    title: str = ""
    choices: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Text:
    """A paragraph, such as what was left out and why."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows of text under their heads; a caption says what they are."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Listing:
    """A long text that is folded away until one opens it."""

    title: str
    text: str


Part = Plot | Text | Table | Listing


@dataclass(frozen=True)
class Section:
    """One section.

    Args:
        name: its id on the page.
        title: its heading.
        lead: one sentence: what is shown, how to read it.
        parts: what follows.
    """

    name: str
    title: str
    lead: str
    parts: tuple[Part, ...]

    @property
    def plots(self) -> list[Plot]:
        return [part for part in self.parts if isinstance(part, Plot)]
