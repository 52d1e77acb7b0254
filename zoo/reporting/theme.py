"""How every plot looks: colours, fonts, axes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Told apart by colour-blind readers and on paper (Okabe and Ito, darker yellow).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#6A3D9A", "#7A7A7A", "#A52A2A", "#44AA99")
# Viridis without its end, which is too pale for white paper.
SCALE = ("#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#d5d11c")
# A logarithmic axis with whole numbers and few of them.
LOG = {"type": "log", "tickformat": "~g", "nticks": 4}
INK, GRID = "#24292f", "#e8ebef"
FONT = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif", "size": 13, "color": INK}
AXIS = {"gridcolor": GRID, "linecolor": "#b6bec8", "showline": True, "zeroline": False, "automargin": True}
AXIS |= {"ticks": "outside", "tickcolor": "#b6bec8", "title": {"standoff": 8}}


def new_figure(traces: "Sequence[Any]" = (), height: int = 400, **layout: Any) -> "go.Figure":
    """A figure in this look; ``layout`` as ``Figure.update_layout`` takes it."""
    import plotly.graph_objects as go

    return styled(go.Figure(list(traces)), height, **layout)


def styled(figure: "go.Figure", height: int, **layout: Any) -> "go.Figure":
    """Give a figure, of one or several panels, this look."""
    # Plotly's own template is large, and every figure would carry it.
    figure.update_layout(template="none", height=height, font=FONT, margin={"l": 60, "r": 20, "t": 40, "b": 50})
    figure.update_layout(paper_bgcolor="white", plot_bgcolor="white", hoverlabel={"font": FONT, "bgcolor": "white"})
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}, "traceorder": "normal"}
    figure.update_layout(legend=legend)
    figure.update_xaxes(AXIS)
    figure.update_yaxes(AXIS)
    return figure.update_layout(**layout)


def colour(number: int) -> str:
    """The colour of a group."""
    return COLOURS[number % len(COLOURS)]


def faded(number: int, opacity: float) -> str:
    """The colour of a group, see-through."""
    red, green, blue = (int(colour(number)[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
