"""Agreement figures: their values, and what degenerate input gives."""

import math

import pytest

from metanets.metrics import regression_metrics


def test_values_by_hand() -> None:
    # Of the six pairs one is in the other order: tau = (5 - 1) / 6.
    metrics = regression_metrics([0.1, 0.2, 0.4, 0.3], [0.0, 0.2, 0.4, 0.6])
    assert metrics["tau"] == pytest.approx(4 / 6)
    assert metrics["mae"] == pytest.approx((0.1 + 0 + 0 + 0.3) / 4)
    assert metrics["r2"] == pytest.approx(1 - (0.01 + 0.09) / 0.2)


def test_constant_predictions_order_nothing() -> None:
    metrics = regression_metrics([0.5, 0.5, 0.5], [0.1, 0.5, 0.9])
    assert metrics["tau"] == 0.0
    assert metrics["r2"] == pytest.approx(0.0)


@pytest.mark.parametrize("true", [[0.3], [0.3, 0.3]])
def test_figures_without_meaning_are_nan(true: list[float]) -> None:
    metrics = regression_metrics([0.4] * len(true), true)
    assert math.isnan(metrics["tau"])
    assert math.isnan(metrics["r2"])
    assert metrics["mae"] == pytest.approx(0.1)


def test_errors_quote_what_arrived() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        regression_metrics([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="1 of 2 predictions are not finite"):
        regression_metrics([1, float("nan")], [1, 2])
