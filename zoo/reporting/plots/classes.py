"""How well the networks know each class of the data."""

from typing import TYPE_CHECKING

from zoo.reporting.section import Plot
from zoo.reporting.theme import colour, new_figure
from zoo.targets import list_rows

if TYPE_CHECKING:
    import numpy as np

    from zoo.reporting.survey import Survey

METRICS = ("test_class_accuracy", "val_class_accuracy")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def class_plots(survey: "Survey") -> list[Plot]:
    """A box a class: half of the networks that did not diverge lie in it, nine tenths within its whiskers.

    None where no accuracy of each class was measured.
    """
    import numpy as np

    name = next((name for name in METRICS if name in survey.table.column_names), None)
    values = last_of_classes(survey, name)[survey.ok] if name else np.empty((0, 0))
    if not np.isfinite(values).any():
        return []
    measured = np.flatnonzero(np.isfinite(values).any(0))
    figure = new_figure([_boxes(measured, np.nanquantile(values[:, measured], QUANTILES, axis=0))], 320)
    title = str(name).split("_")[0] + " accuracy on the class"
    figure.update_xaxes(title_text="class", type="category").update_yaxes(title_text=title)
    text = "By class of the data: the box holds half of the networks, the whiskers nine tenths"
    return [Plot("distribution-class", figure.update_layout(showlegend=False), text)]


def last_of_classes(survey: "Survey", name: str) -> "np.ndarray":
    """A metric with a value a class at the last state: ``[M, classes]``, NaN where a network has none."""
    import pyarrow as pa

    last = [None if states is None else states[-1] for states in survey.table[name].to_pylist()]
    return list_rows(pa.array(last, pa.list_(pa.float64())))


def _boxes(classes: "np.ndarray", quantiles: "np.ndarray") -> object:
    """Boxes of quantiles ``[5, classes]``: the page need not hold every network for them."""
    import plotly.graph_objects as go

    low, first, middle, third, high = quantiles
    shape = {"lowerfence": low, "q1": first, "median": middle, "q3": third, "upperfence": high}
    return go.Box(x=[str(label) for label in classes.tolist()], **shape, line={"color": colour(0), "width": 1.5})
