"""Pictures are written, with the figures of each model in its title."""

from pathlib import Path

from metanets.pictures import curves, scatter


def test_scatter_has_a_panel_a_model(tmp_path: Path) -> None:
    columns = {"predicted": [0.1, 0.2, 0.4, 0.3], "true": [0.0, 0.2, 0.4, 0.6], "final": [False, True, False, True]}
    scatter({"GMN": columns, "no final": {k: columns[k] for k in ("predicted", "true")}}, tmp_path / "new" / "s.svg")
    text = (tmp_path / "new" / "s.svg").read_text()
    assert "GMN   \u03c4 0.67   R\u00b2 0.50" in text
    assert "no final   \u03c4 0.67" in text


def test_curves_of_runs_with_and_without_val_records(tmp_path: Path) -> None:
    train = [{"event": "train", "seconds": s, "loss": 1 / s} for s in range(1, 6)]
    val = [{"event": "val", "seconds": 5, "tau": 0.5}]
    curves({"long": train + val, "short": train[:1], "empty": []}, tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
