"""Hyper-parameters of every network as a line through parallel axes, coloured by its score."""

from typing import TYPE_CHECKING, Any

from zoo.reporting.features import Feature
from zoo.reporting.grouping import group_by
from zoo.reporting.section import Part, Plot, Section, Text
from zoo.reporting.theme import INK, SCALE, new_figure
from zoo.reporting.words import amount

if TYPE_CHECKING:
    import numpy as np

    from zoo.reporting.survey import Survey

AXES = 10
COLOURS = 24
# How much of its slot a value's lines take, and where a number that is none stands.
FILLED = 0.62
NONE = -0.08


def section(survey: "Survey") -> Section:
    """The section."""
    lead = (
        "Each line is a network that passes every axis at its own setting and ends at its score: where bright lines "
        "meet, networks do well. Drag a box over an axis to keep the lines within it; double-click to have all back."
    )
    return Section(
        "coordinates",
        f"Hyper-parameters and {survey.score.title if survey.score else 'score'}",
        lead,
        tuple(_parts(survey)),
    )


def _parts(survey: "Survey") -> list[Part]:
    import numpy as np

    good = np.flatnonzero(np.isfinite(survey.final))
    if survey.score is None or not len(good):
        return [Text("No network has a finite score.")]
    if not survey.features:
        return [Text("The networks differ in their seeds alone.")]
    rows = survey.chosen(good)
    sampled = "" if len(rows) == len(good) else f", drawn at random of {len(good):,}"
    told = f"{amount(len(rows), 'network')}{sampled}. Lines that share a setting are ordered by score."
    if len(survey.features) > AXES - 1:
        told += f" The first {AXES - 1} of {len(survey.features)} hyper-parameters are shown."
    return [Text(told), Plot("coordinates-plot", _figure(survey, rows))]


def _figure(survey: "Survey", rows: "np.ndarray") -> Any:
    import numpy as np

    assert survey.score is not None
    settings, score = survey.features[: AXES - 1], Feature(survey.score.title, survey.final)
    axes = [*settings, score]
    placed = [_slots(f, rows, survey.final[rows]) if f.few else _scale(f, rows, f.logarithmic) for f in settings]
    # An accuracy near 0 is no reason to stretch the bad ones: only a loss spans decades.
    placed.append(_scale(score, rows, score.logarithmic and not survey.score.higher_is_better))
    heights = np.stack([height for height, _ in placed], 1)
    sign = 1 if survey.score.higher_is_better else -1
    order = np.argsort(sign * survey.final[rows], kind="stable")
    figure = new_figure(
        _lines(heights[order], sign * survey.final[rows][order]), 460, dragmode="select", showlegend=False
    )
    figure.update_layout(annotations=_words(axes, [ticks for _, ticks in placed]), shapes=_rules(len(axes)))
    figure.update_layout(margin={"l": 40, "r": 60, "t": 30, "b": 20})
    figure.update_xaxes(visible=False, fixedrange=True, range=[-0.1, len(axes) - 0.9])
    return figure.update_yaxes(visible=False, fixedrange=True, range=[-0.14, 1.1])


def _slots(axis: Feature, rows: "np.ndarray", score: "np.ndarray") -> tuple["np.ndarray", list[tuple[float, str]]]:
    """Heights ``[len(rows)]`` of networks on an axis of few values, and its ticks (height, text)."""
    import numpy as np

    grouping = group_by(axis)
    count, members = len(grouping.labels), grouping.members[rows]
    heights = np.zeros(len(rows))
    for number in range(count):
        own = np.flatnonzero(members == number)
        ranks = (np.argsort(np.argsort(score[own])) + 0.5) / max(1, len(own)) - 0.5
        heights[own] = (number + 0.5 + FILLED * ranks) / count
    return heights, [((number + 0.5) / count, label) for number, label in enumerate(grouping.labels)]


def _scale(axis: Feature, rows: "np.ndarray", logarithmic: bool) -> tuple["np.ndarray", list[tuple[float, str]]]:
    """The same on an axis of numbers."""
    import numpy as np

    to = np.log10 if logarithmic else np.asarray
    values = to(axis.values[rows])
    low, high = float(to(axis.distinct[0])), float(to(axis.distinct[-1]))
    heights = (values - low) / ((high - low) or 1.0)
    marks = np.linspace(0, 1, 5)
    shown = low + marks * (high - low)
    ticks = [(float(m), f"{10**v if logarithmic else v:.2g}") for m, v in zip(marks, shown, strict=True)]
    absent = np.isnan(heights)
    return np.where(absent, NONE, heights), ticks + ([(NONE, "none")] if absent.any() else [])


def _lines(heights: "np.ndarray", score: "np.ndarray") -> list[Any]:
    """A trace for each step of the colour scale: its networks one after the other, with gaps between them.

    Shapes: heights ``[N, axes]``, score ``[N]``, ascending: the best are drawn last, over the others.
    """
    import numpy as np
    import plotly.graph_objects as go
    from plotly.colors import sample_colorscale

    count, axes = heights.shape
    path = np.concatenate([heights, np.full((count, 1), np.nan)], 1)
    span = float(np.ptp(score)) or 1.0
    steps = np.minimum((score - score.min()) / span * COLOURS, COLOURS - 1).astype(int)
    inks = sample_colorscale(list(SCALE), np.linspace(0, 1, COLOURS).tolist())
    opacity = float(np.clip(120 / count, 0.2, 0.8))
    traces = []
    for step in dict.fromkeys(steps.tolist()):
        own = path[steps == step].astype("float32")
        along = np.tile(np.append(np.arange(axes), np.nan), len(own)).astype("float32")
        look = {"mode": "lines", "line": {"color": inks[step], "width": 1.2}, "opacity": opacity, "hoverinfo": "skip"}
        traces.append(go.Scatter(x=along, y=own.ravel(), **look))
    return traces


def _words(axes: list[Feature], ticks: list[list[tuple[float, str]]]) -> list[dict[str, Any]]:
    """The titles of the axes and their ticks."""
    plain = {"showarrow": False, "font": {"size": 11, "color": INK}}
    label = {**plain, "xanchor": "left", "xshift": 4, "bgcolor": "rgba(255,255,255,0.78)", "borderpad": 1}
    titles = [{**plain, "x": x, "y": 1.07, "text": f"<b>{axis.title}</b>"} for x, axis in enumerate(axes)]
    return titles + [{**label, "x": x, "y": y, "text": text} for x, own in enumerate(ticks) for y, text in own]


def _rules(axes: int) -> list[dict[str, Any]]:
    line = {"color": "#57606a", "width": 1}
    return [
        {"type": "line", "name": "axis", "x0": x, "x1": x, "y0": -0.1, "y1": 1.02, "line": line} for x in range(axes)
    ]
