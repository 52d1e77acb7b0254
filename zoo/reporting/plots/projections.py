"""Principal components of weights beside those of layer statistics, an architecture each."""

from typing import TYPE_CHECKING, Any

from zoo.reporting.projecting import Projection, principal_components, standardised
from zoo.reporting.section import Part, Plot, Section, Text
from zoo.reporting.theme import SCALE, colour, styled
from zoo.reporting.weights import READ, Architecture, architectures, layer_statistics
from zoo.reporting.words import amount

if TYPE_CHECKING:
    import numpy as np
    import plotly.graph_objects as go

    from zoo.reporting.survey import Survey

# Architectures drawn, and networks that one needs for a picture.
MOST = 3
FEWEST = 3
# Networks in one picture: memory grows with their square.
PICTURED = 4000
# So many times the median norm is too far away to be drawn with the others.
FAR = 3


def section(survey: "Survey") -> Section:
    """The section."""
    lead = (
        "Each point is a network at its last state, seen along the two directions in which the networks of its "
        "architecture differ most; points of one colour that lie together mean that the score can be read there."
    )
    return Section("projections", "Weights and layer statistics, projected", lead, tuple(_parts(survey)))


def _parts(survey: "Survey") -> list[Part]:
    found = architectures(survey)
    fit = [a for a in found if min(len(a.rows), survey.limit) >= FEWEST]
    if not fit:
        return [Text(f"A projection needs {FEWEST} networks of one architecture that did not diverge.")]
    parts: list[Part] = [
        Text(
            "Left: the weights themselves (PCA). Right: mean, standard deviation and quantiles (0, 25, 50, 75, 100 %) "
            "of every layer, standardised (PCA); these do not change when neurons are permuted. In brackets: the share "
            "of all variance."
        )
    ]
    if len(fit) < len(found) or len(fit) > MOST:
        text = f"Of {len(found)} architectures, the {len(fit[:MOST])} with the most networks are drawn"
        parts.append(Text(f"{text}; one needs {FEWEST} networks." if len(fit) < len(found) else f"{text}."))
    for number, architecture in enumerate(survey.progress("projecting", fit[:MOST])):
        parts += _drawn(survey, number, architecture)
    return parts


def _drawn(survey: "Survey", number: int, architecture: Architecture) -> list[Part]:
    rows = survey.chosen(architecture.rows, min(PICTURED, max(FEWEST, READ // max(1, architecture.size))))
    told = f"{amount(len(rows), 'network')} of {architecture.size:,} weights"
    told += "" if len(rows) == len(architecture.rows) else f", drawn at random of {len(architecture.rows):,}"
    near = rows[usual(norms_of(architecture, rows))]
    if len(near) < len(rows):
        told += f"; {len(rows) - len(near):,} with weights more than {FAR} times the median norm are not shown"
    weights = principal_components(architecture.columns(near))
    statistics = principal_components([standardised(layer_statistics(architecture, near))])
    plot = Plot(f"projection-{number + 1}", _figure(survey, near, weights, statistics), architecture.title)
    return [plot, Text(f"{told}.")]


def norms_of(architecture: Architecture, rows: "np.ndarray") -> "np.ndarray":
    """Norms of the learned weights of the last state ``[len(rows)]``."""
    import numpy as np

    return np.sqrt(sum((np.square(piece).sum(1) for piece in architecture.columns(rows)), np.zeros(len(rows))))


def usual(norms: "np.ndarray") -> "np.ndarray":
    """Whether each is near enough to the others to be drawn with them: a few far ones would hide all structure."""
    import numpy as np

    near = norms <= FAR * np.median(norms)
    return near if near.sum() >= FEWEST else np.ones_like(near)


def _figure(survey: "Survey", rows: "np.ndarray", weights: Projection, statistics: Projection) -> "go.Figure":
    from plotly.subplots import make_subplots

    figure = make_subplots(1, 2, subplot_titles=("weights", "layer statistics"), horizontal_spacing=0.12)
    words = [survey.words(row) for row in rows.tolist()]
    for column, projection in enumerate((weights, statistics), start=1):
        figure.add_trace(_points(survey, rows, projection, words), 1, column)
        first, second = (f"component {n} ({share:.1%})" for n, share in enumerate(projection.shares, start=1))
        figure.update_xaxes(title_text=first, row=1, col=column).update_yaxes(title_text=second, row=1, col=column)
    return styled(figure, 420, showlegend=False, **_scale(survey))


def _scale(survey: "Survey") -> dict[str, Any]:
    """The layout's scale of colours; nothing where there is no score."""
    if survey.score is None:
        return {}
    bar = {"title": {"text": survey.score.title}, "thickness": 12, "outlinewidth": 0}
    return {"coloraxis": {"colorscale": SCALE, "colorbar": bar, "reversescale": not survey.score.higher_is_better}}


def _points(survey: "Survey", rows: "np.ndarray", projection: Projection, words: list[str]) -> Any:
    import plotly.graph_objects as go

    x, y = projection.scores.T.astype("float32")
    look = {"color": survey.final[rows], "coloraxis": "coloraxis"} if survey.score else {"color": colour(0)}
    hover = f"%{{text}}<br>{survey.score.title} %{{marker.color:.4g}}" if survey.score else "%{text}"
    marker = {**look, "size": 5, "opacity": 0.75}
    return go.Scatter(x=x, y=y, mode="markers", marker=marker, text=words, hovertemplate=f"{hover}<extra></extra>")
