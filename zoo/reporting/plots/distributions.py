"""How the score is distributed: by recipe, by split, by class of the data."""

from typing import TYPE_CHECKING, Any

from zoo.reporting.grouping import Grouping
from zoo.reporting.plots.classes import class_plots
from zoo.reporting.section import Part, Plot, Section, Text
from zoo.reporting.theme import colour, new_figure
from zoo.reporting.words import amount

if TYPE_CHECKING:
    import numpy as np

    from zoo.reporting.survey import Survey

BINS = 40


def section(survey: "Survey") -> Section:
    """The section."""
    lead = (
        "How well the networks do at their last state: a bar or a step tells how many of them fall within a narrow "
        "range of the score, so a tall peak far to the right is a zoo of good networks."
    )
    title = f"Distribution of {survey.score.title if survey.score else 'the score'}"
    return Section("distributions", title, lead, tuple(_parts(survey)))


def _parts(survey: "Survey") -> list[Part]:
    import numpy as np

    if survey.score is None:
        return [Text("This zoo has no metrics.")]
    left_out = int(np.isnan(survey.final).sum())
    lost = Text(f"Left out: {left_out:,} of {amount(len(survey), 'network')}, without a finite score.")
    told: list[Part] = [lost] if left_out else []
    if left_out == len(survey):
        return told
    edges = bin_edges(survey.final)
    title = f"{survey.score.title}, last state"
    recipe = new_figure(
        stacked_bars(survey.grouping("family"), survey.final, edges), 320, barmode="stack", showlegend=True
    )
    recipe.update_xaxes(title_text=title).update_yaxes(title_text="networks")
    split = new_figure(outlines(survey.grouping("split"), survey.final, edges), 320)
    split.update_xaxes(title_text=title).update_yaxes(title_text="share of the split, %", rangemode="tozero")
    of_split = "By split, in percent of its size: the outlines should lie on each other"
    plots = [Plot("distribution-recipe", recipe, "By recipe"), Plot("distribution-split", split, of_split)]
    return [*told, *plots, *class_plots(survey)]


def bin_edges(values: "np.ndarray") -> "np.ndarray":
    """Edges of equal bins over the finite values, at least one bin wide."""
    import numpy as np

    there = values[np.isfinite(values)]
    return np.histogram_bin_edges(there, BINS)


def stacked_bars(grouping: Grouping, values: "np.ndarray", edges: "np.ndarray") -> list[Any]:
    """A histogram with a colour for each group."""
    import plotly.graph_objects as go

    centres, width = (edges[1:] + edges[:-1]) / 2, float(edges[1] - edges[0])
    bars = [(label, counted(grouping, number, values, edges)) for number, label in enumerate(grouping.labels)]
    return [
        go.Bar(x=centres, y=counts, width=width * 0.94, name=f"{label} ({counts.sum():,})", marker={"color": colour(n)})
        for n, (label, counts) in enumerate(bars)
    ]


def outlines(grouping: Grouping, values: "np.ndarray", edges: "np.ndarray") -> list[Any]:
    """A step line for each group, in percent of the group."""
    import numpy as np
    import plotly.graph_objects as go

    traces = []
    for number, label in enumerate(grouping.labels):
        counts = counted(grouping, number, values, edges)
        shares = 100 * counts / max(1, counts.sum())
        line = {"shape": "hv", "color": colour(number), "width": 2}
        name = f"{label} ({counts.sum():,})"
        traces.append(go.Scatter(x=edges, y=np.append(shares, 0), mode="lines", line=line, name=name))
    return traces


def counted(grouping: Grouping, number: int, values: "np.ndarray", edges: "np.ndarray") -> "np.ndarray":
    """How many finite values of one group lie in each bin."""
    import numpy as np

    return np.histogram(values[(grouping.members == number) & np.isfinite(values)], edges)[0]
