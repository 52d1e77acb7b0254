"""Training curves of groups of networks."""

from typing import TYPE_CHECKING, Any

from zoo.reporting.bands import BANDS, ORDER, band_traces, epoch_axis
from zoo.reporting.scores import Score, in_order
from zoo.reporting.section import Part, Plot, Section, Text
from zoo.reporting.theme import LOG, styled

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from zoo.reporting.survey import Survey

PANELS = 6


def section(survey: "Survey") -> Section:
    """The section."""
    lead = (
        f"Every metric over the {survey.unit}s whose states were kept: groups whose bands lie apart learn differently, "
        "and a curve that still rises at its end has not finished learning."
    )
    return Section("curves", "Training curves", lead, tuple(_parts(survey)))


def _parts(survey: "Survey") -> list[Part]:
    if survey.score is None:
        return [Text("This zoo has no metrics.")]
    if len(survey.epochs) == 1:
        return [Text(f"Only the state of {survey.unit} {survey.epochs[0]} was kept, so there are no curves.")]
    if not survey.ok.any():
        return [Text("All networks diverged.")]
    names, others = in_order(survey.metrics)[:PANELS], in_order(survey.metrics)[PANELS:]
    more = f" Also measured: {', '.join(others)}." if others else ""
    choices = tuple((grouping.name, grouping.title) for grouping in survey.groupings)
    return [
        Text(f"{BANDS} {ORDER} Diverged networks are left out.{more}"),
        Plot("curves-plot", _figure(survey, names), choices=choices),
    ]


def _figure(survey: "Survey", names: list[str]) -> "go.Figure":
    from plotly.subplots import make_subplots

    titles = [Score(name).title for name in names]
    columns, rows = min(2, len(names)), (len(names) + 1) // 2
    figure = make_subplots(rows, columns, subplot_titles=titles, vertical_spacing=0.16, horizontal_spacing=0.1)
    for panel, name in enumerate(names):
        row, column = panel // 2 + 1, panel % 2 + 1
        figure.add_traces(_traces(survey, name, legend=panel == 0), row, column)
        figure.update_xaxes(epoch_axis(survey.epochs, survey.unit), row=row, col=column)
        if name.endswith("loss"):
            figure.update_yaxes(LOG, row=row, col=column)
    return styled(figure, 130 + 270 * rows, legend={"y": 1.08}, margin={"t": 90})


def _traces(survey: "Survey", name: str, legend: bool) -> list[Any]:
    import numpy as np

    curves = np.where(survey.ok[:, None], survey.curves(name), np.nan)
    loss = name.endswith("loss")
    views = [band_traces(g, survey.epochs, curves, n == 0, loss, legend) for n, g in enumerate(survey.groupings)]
    return [trace for traces in views for trace in traces]
