"""Pictures of trained metanetworks: predicted against true, and the course of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from metanets.metrics import regression_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Ink, muted ink and series colours that keep apart for colour-blind readers, in a fixed order.
_INK, _MUTED, _GRID = "#1a1a19", "#6b6a66", "#e4e3df"
_SERIES = ("#2a78d6", "#e07b39", "#1b9e77", "#8a5cc2", "#c2447a", "#777570")


def scatter(predictions: Mapping[str, Mapping[str, Sequence[Any]]], path: str | Path) -> None:
    """Predicted against true accuracy, one panel a model, Kendall's tau and R2 in its title.

    Args:
        predictions: model name to ``{"predicted": [...], "true": [...], "final": [...]}`` (``final`` may be left out):
            the content of ``predictions.json`` of a training run.
        path: PNG, SVG or PDF file to write.
    """
    figure, panels = _panels(len(predictions))
    for panel, (name, columns) in zip(panels, predictions.items(), strict=False):
        predicted, true = (numpy.asarray(columns[key], dtype=float) for key in ("predicted", "true"))
        final = numpy.asarray(columns.get("final", numpy.zeros(len(true))), dtype=bool)
        panel.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        for chosen, label, colour in ((~final, "earlier state", _SERIES[0]), (final, "final state", _SERIES[1])):
            if chosen.any():
                panel.scatter(true[chosen], predicted[chosen], s=9, alpha=0.55, linewidths=0, color=colour, label=label)
        metrics = regression_metrics(predicted, true)
        panel.set_title(
            f"{name}   \u03c4 {metrics['tau']:.2f}   R\u00b2 {metrics['r2']:.2f}", fontsize=10, color=_INK, loc="left"
        )
        panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="true test accuracy")
        panel.set_aspect("equal")
    panels[0].set_ylabel("predicted test accuracy")
    if panels[0].get_legend_handles_labels()[0]:
        panels[0].legend(frameon=False, fontsize=8, loc="upper left", handletextpad=0.1, markerscale=1.8)
    _write(figure, path)


def curves(logs: Mapping[str, Sequence[Mapping[str, Any]]], path: str | Path, figure_of_merit: str = "tau") -> None:
    """Training loss, beside the val figure, over minutes, one line a model.

    Args:
        logs: model name to the records of its run (metanets.callbacks.read_log).
        path: PNG, SVG or PDF file to write.
        figure_of_merit: which figure of the val records to draw.
    """
    figure, panels = _panels(2, width=4.6)
    for colour, (name, records) in zip(_SERIES, logs.items(), strict=False):
        trained = [(row["seconds"] / 60, row["loss"]) for row in records if row["event"] == "train"]
        scored = [(row["seconds"] / 60, row[figure_of_merit]) for row in records if row["event"] == "val"]
        if trained:
            minutes, losses = numpy.array(trained).T
            panels[0].plot(minutes, losses, color=colour, alpha=0.25, linewidth=0.8)
            panels[0].plot(minutes, _smooth(losses), color=colour, linewidth=1.8, label=name)
        if scored:
            panels[1].plot(*numpy.array(scored).T, color=colour, linewidth=1.8, marker="o", markersize=3.5, label=name)
    for panel, title in zip(panels, ("training loss (cross-entropy)", f"val {figure_of_merit}"), strict=True):
        panel.set_title(title, fontsize=10, color=_INK, loc="left")
        panel.set_xlabel("minutes")
    panels[1].legend(frameon=False, fontsize=8, loc="lower right")
    _write(figure, path)


def _panels(count: int, width: float = 3.1) -> tuple[Figure, list[Any]]:
    # The Agg figure needs neither a display nor pyplot's global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * count, 3.4), dpi=130, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(1, count, i + 1) for i in range(count)]
    for panel in panels:
        panel.grid(color=_GRID, linewidth=0.7)
        panel.set_axisbelow(True)
        panel.tick_params(colors=_MUTED, labelsize=8, length=0)
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color(_GRID)
        panel.xaxis.label.set(color=_MUTED, fontsize=9)
        panel.yaxis.label.set(color=_MUTED, fontsize=9)
        panel.title.set(color=_INK, fontsize=10)
    return figure, panels


def _smooth(values: numpy.ndarray, window: int = 9) -> numpy.ndarray:
    """Running mean; shorter windows at both ends."""
    kernel = numpy.ones(min(window, len(values)))
    return numpy.convolve(values, kernel, "same") / numpy.convolve(numpy.ones(len(values)), kernel, "same")


def _write(figure: Figure, path: str | Path) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
