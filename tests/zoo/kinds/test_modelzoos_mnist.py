"""The hyper-parameter zoo of ModelZoos: 2560 networks of 2464 parameters, every epoch kept."""

from pathlib import Path

import datasets
import pytest
import torch
from PIL import Image
from shrinking import built, settings_that_differ, spec_of

from zoo.sources import load


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for each digit, with six images of 28x28."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    digits = load("digits")
    for label in range(10):
        (tmp_path / "images" / str(label)).mkdir(parents=True)
        for number, image in enumerate(digits.train_x[digits.train_y == label][:6]):
            pixels = Image.fromarray((image[0] * 255).to(torch.uint8).numpy()).resize((28, 28))
            pixels.save(tmp_path / "images" / str(label) / f"{number}.png")
    return tmp_path / "images"


def test_it_has_the_published_grid_and_keeps_every_epoch(images: Path, tmp_path: Path) -> None:
    spec = spec_of("modelzoos_mnist")
    assert spec.count == 2560
    assert spec.keep == tuple(range(11))
    assert spec.epochs == 10
    assert {name: len(values) for name, values in spec.grid.items()} == {
        "activation": 4, "dropout": 2, "init": 4, "optimiser": 2, "lr": 2, "weight_decay": 2,
    }  # fmt: skip
    few = {name: values[: 4 if name == "activation" else 1] for name, values in spec.grid.items()}
    few["optimiser"] = spec.grid["optimiser"]
    data = spec.data | {"source": str(images)}
    z = built(spec_of("modelzoos_mnist", grid=few, repeats=1, epochs=3, keep={"every": 1}, data=data), tmp_path)
    assert len(z) == 8
    assert all(member.epochs == [0, 1, 2, 3] and member.trajectory().shape == (4, 2464) for member in z)
    assert settings_that_differ(z, list(spec.grid)) == {"activation", "optimiser"}
    assert {row["status"] for row in z.table.to_pylist()} == {"ok"}
