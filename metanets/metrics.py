"""How well predicted numbers agree with true ones: Kendall's rank correlation, R2, mean absolute error."""

from __future__ import annotations

import numpy
from numpy.typing import ArrayLike
from scipy.stats import kendalltau
from sklearn.metrics import mean_absolute_error, r2_score


def regression_metrics(predicted: ArrayLike, true: ArrayLike) -> dict[str, float]:
    """``tau`` (Kendall's tau-b), ``r2`` and ``mae`` of two vectors of the same length.

    Constant predictions order nothing: their tau is 0. Where a figure has no meaning (fewer than two values, or true
    values that are all equal) it is nan.

    >>> regression_metrics([0.1, 0.4, 0.3], [0.0, 0.5, 0.4])["tau"]
    1.0
    """
    predicted, true = numpy.asarray(predicted, dtype=float), numpy.asarray(true, dtype=float)
    if predicted.shape != true.shape or predicted.ndim != 1:
        raise ValueError(
            f"expected two vectors of one length, got shapes {predicted.shape} and {true.shape}; "
            "give one prediction a network"
        )
    if not numpy.isfinite(predicted).all():
        raise ValueError(
            f"{int((~numpy.isfinite(predicted)).sum())} of {predicted.size} predictions are not finite; "
            "the networks given or the model hold NaN"
        )
    mae = float(mean_absolute_error(true, predicted)) if true.size else float("nan")
    if true.size < 2 or (true == true[0]).all():
        return {"tau": float("nan"), "r2": float("nan"), "mae": mae}
    constant = bool((predicted == predicted[0]).all())
    tau = 0.0 if constant else float(kendalltau(predicted, true).statistic)  # pyright: ignore[reportAttributeAccessIssue]
    return {"tau": tau, "r2": float(r2_score(true, predicted)), "mae": mae}
