"""Curves of groups of networks: the mean, and the quantiles around it."""

from typing import TYPE_CHECKING, Any

from zoo.reporting.grouping import Grouping
from zoo.reporting.theme import colour, faded

if TYPE_CHECKING:
    import numpy as np

# The inner and the outer band hold half and nine tenths of a group.
QUANTILES = (0.05, 0.25, 0.75, 0.95)
# A loss of 0 counts as this where its logarithm is taken.
TINY = 1e-12
FEW_EPOCHS = 15
BANDS = (
    "The line is the mean of a group (the geometric mean on a logarithmic axis); the bands hold the middle 50 % and "
    "90 % of its networks."
)
ORDER = "The grouping that tells most of the score comes first."


def quantile_bands(curves: "np.ndarray", logarithmic: bool = False) -> tuple["np.ndarray", "np.ndarray"]:
    """Mean ``[T]`` and quantiles ``[4, T]`` over curves ``[M, T]``, of the finite values.

    A mean that is drawn on a logarithmic axis is the geometric one: the other follows the largest value alone.

    >>> import numpy as np
    >>> mean, quantiles = quantile_bands(np.array([[0.0, 1.0], [1.0, np.nan]]))
    >>> mean.tolist(), quantiles[:, 0].tolist()
    ([0.5, 1.0], [0.05, 0.25, 0.75, 0.95])
    """
    import numpy as np

    mean, quantiles = np.full(curves.shape[1], np.nan), np.full((len(QUANTILES), curves.shape[1]), np.nan)
    for t, values in enumerate(curves.T):
        there = values[np.isfinite(values)]
        if len(there):
            mean[t], quantiles[:, t] = _mean(there, logarithmic), np.quantile(there, QUANTILES)
    return mean, quantiles


def _mean(values: "np.ndarray", logarithmic: bool) -> float:
    import numpy as np

    return float(np.exp(np.log(np.maximum(values, TINY)).mean()) if logarithmic else values.mean())


def epoch_axis(epochs: "np.ndarray", unit: str) -> dict[str, Any]:
    """The axis of the epochs (or steps) ``[T]``; few of them have no ticks between them."""
    return {"title": {"text": unit}} | ({"dtick": 1} if epochs[-1] - epochs[0] <= FEW_EPOCHS else {})


def band_traces(
    grouping: Grouping,
    epochs: "np.ndarray",
    curves: "np.ndarray",
    visible: bool,
    logarithmic: bool = False,
    legend: bool = True,
) -> list[Any]:
    """The traces of every group with networks; only shown in the view of this grouping.

    Args:
        grouping: the groups of the M networks.
        epochs: ``[T]``.
        curves: ``[M, T]``.
        visible: whether this view is shown first.
        logarithmic: whether the axis is.
        legend: whether the groups are named.
    """
    import numpy as np

    traces = []
    for number, label in enumerate(grouping.labels):
        own = curves[grouping.members == number]
        mean, quantiles = quantile_bands(own, logarithmic)
        seen, there = np.isfinite(mean), int(np.isfinite(own).any(1).sum())
        if not seen.any():
            continue
        shared = {"meta": grouping.name, "visible": visible, "legendgroup": label, "x": epochs[seen]}
        for low, high, opacity in ((0, 3, 0.12), (1, 2, 0.22)):
            traces += _band(quantiles[low, seen], quantiles[high, seen], faded(number, opacity), shared)
        traces.append(_line(f"{label} ({there:,})", mean[seen], colour(number), legend, shared))
    return traces


def _band(low: "np.ndarray", high: "np.ndarray", fill: str, shared: dict[str, Any]) -> list[Any]:
    import plotly.graph_objects as go

    hidden = {**shared, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    return [go.Scatter(y=low, **hidden), go.Scatter(y=high, fill="tonexty", fillcolor=fill, **hidden)]


def _line(name: str, mean: "np.ndarray", ink: str, legend: bool, shared: dict[str, Any]) -> Any:
    import plotly.graph_objects as go

    look = {"mode": "lines+markers", "line": {"color": ink, "width": 2}, "marker": {"size": 5}}
    return go.Scatter(y=mean, name=name, showlegend=legend, **look, **shared)
