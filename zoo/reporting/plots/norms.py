"""How large weights are, over the epochs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from zoo.reporting.bands import BANDS, band_traces, epoch_axis
from zoo.reporting.plots.distributions import bin_edges, stacked_bars
from zoo.reporting.section import Part, Plot, Section, Text
from zoo.reporting.theme import LOG, colour, new_figure
from zoo.reporting.weights import READ, Architecture, architectures, layer_norms
from zoo.reporting.words import amount

if TYPE_CHECKING:
    import numpy as np

    from zoo.reporting.survey import Survey

# Layers and architectures that are shown apart.
LAYERS = 8
MOST = 3

Norms = tuple[Architecture, "np.ndarray", "np.ndarray"]


def section(survey: "Survey") -> Section:
    """The section."""
    lead = (
        "The Euclidean norm of all learned weights of a network: it grows while a network learns, stays where weight "
        "decay holds it, and shoots up before a network diverges."
    )
    return Section("norms", "Weight norms", lead, tuple(_parts(survey)))


def _parts(survey: "Survey") -> list[Part]:
    if not survey.ok.any():
        return [Text("All networks diverged.")]
    measured = list(read_norms(survey))
    whole = whole_norms(survey, measured)
    read = sum(len(rows) for _, rows, _ in measured)
    told = f"Norms of {read:,} of the {amount(int(survey.ok.sum()), 'network')} that did not diverge."
    if len(survey.epochs) == 1:
        return [Text(told), _histogram(survey, whole[:, 0])]
    views = [band_traces(g, survey.epochs, whole, n == 0, logarithmic=True) for n, g in enumerate(survey.groupings)]
    figure = new_figure([trace for traces in views for trace in traces], 400)
    figure.update_xaxes(epoch_axis(survey.epochs, survey.unit)).update_yaxes(
        title_text="norm of the weights"
    ).update_yaxes(LOG)
    choices = tuple((grouping.name, grouping.title) for grouping in survey.groupings)
    parts: list[Part] = [Text(f"{told} {BANDS}"), Plot("norms-plot", figure, choices=choices)]
    return parts + [_layers(survey, number, norms) for number, norms in enumerate(measured[:MOST])]


def read_norms(survey: "Survey") -> Iterator[Norms]:
    """(architecture, rows, norms ``[len(rows), T, layers]``) of the networks whose weights are read, at all epochs."""
    import numpy as np

    drawn = set(survey.chosen(np.flatnonzero(survey.ok)).tolist())
    epochs = survey.table["epochs"]
    for architecture in survey.progress("norms", architectures(survey)):
        rows = np.array([row for row in architecture.rows.tolist() if row in drawn], np.int64)
        rows = survey.chosen(rows, max(1, READ // max(1, architecture.size * len(survey.epochs))))
        norms = np.full((len(rows), len(survey.epochs), len(architecture.entries)), np.nan)
        kept = [tuple(epochs[row].as_py()) for row in rows.tolist()]
        for states in sorted(set(kept)):
            same = np.flatnonzero([own == states for own in kept])
            times = np.searchsorted(survey.epochs, states)
            norms[np.ix_(same, times)] = layer_norms(architecture, rows[same], len(states))
        if len(rows):
            yield architecture, rows, norms


def whole_norms(survey: "Survey", measured: list[Norms]) -> "np.ndarray":
    """Norms of all weights together ``[M, T]``; NaN where none was read."""
    import numpy as np

    whole = np.full((len(survey), len(survey.epochs)), np.nan)
    for _, rows, norms in measured:
        whole[rows] = np.sqrt(np.square(norms).sum(2))
    return whole


def _histogram(survey: "Survey", norms: "np.ndarray") -> Plot:
    bars = stacked_bars(survey.grouping("family"), norms, bin_edges(norms))
    figure = new_figure(bars, 320, barmode="stack")
    return Plot("norms-plot", figure.update_xaxes(title_text="norm of the weights").update_yaxes(title_text="networks"))


def _layers(survey: "Survey", number: int, measured: Norms) -> Plot:
    """The size of a typical weight of each layer."""
    import numpy as np

    architecture, _, norms = measured
    matrices = [n for n, entry in enumerate(architecture.entries) if len(entry.shape) > 1]
    shown = [matrices[i] for i in np.unique(np.linspace(0, len(matrices) - 1, LAYERS).round().astype(int)).tolist()]
    figure = new_figure([_line(survey, architecture, n, norms[:, :, n], i) for i, n in enumerate(shown)], 300)
    figure.update_xaxes(epoch_axis(survey.epochs, survey.unit)).update_yaxes(
        title_text="typical size of a weight", rangemode="tozero"
    )
    few = "" if len(shown) == len(matrices) else f", {len(shown)} of {len(matrices)} layers"
    title = f"Root mean square of a layer's weights, median over the networks: {architecture.title}{few}"
    return Plot(f"layers-{number + 1}", figure, title)


def _line(survey: "Survey", architecture: Architecture, layer: int, norms: "np.ndarray", number: int) -> Any:
    import numpy as np
    import plotly.graph_objects as go

    entry = architecture.entries[layer]
    seen = np.isfinite(norms).any(0)
    typical = np.nanmedian(norms[:, seen], axis=0) / np.sqrt(max(1, entry.numel))
    look = {"mode": "lines+markers", "line": {"color": colour(number), "width": 2}, "marker": {"size": 5}}
    return go.Scatter(x=survey.epochs[seen], y=typical, name=entry.name, **look)
