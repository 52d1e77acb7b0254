"""Data sources: shapes, splits, fingerprints, local folders, and clear errors."""

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from zoo import sources
from zoo.huggingface import load_images


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def image_folder(tmp_path):
    """Class folders cat and dog, ten 6x5 images each, no test split."""
    for label, name in enumerate(["cat", "dog"]):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(10):
            pixels = np.full((5, 6), 100 * label + i, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    return tmp_path / "pictures"


def test_digits_are_scaled_split_and_fingerprinted():
    data = sources.load("digits")
    assert data.train_x.shape == (1438, 1, 8, 8)
    assert data.test_x.shape == (359, 1, 8, 8)
    assert data.train_x.min() == 0
    assert data.train_x.max() == 1
    assert data.train_x.dtype == torch.float32
    assert data.num_classes == 10
    assert set(data.train_y.tolist()) == set(range(10))
    assert data.fingerprint == sources.load("digits").fingerprint != sources.load("digits", limit=50).fingerprint


def test_limit_is_a_fixed_choice():
    a, b = sources.load("digits", limit=30), sources.load("digits", limit=30)
    assert len(a.train_x) == len(a.test_x) == 30
    assert a.fingerprint == b.fingerprint
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        sources.load("digits", limit=0)


def test_folder_of_class_folders(image_folder):
    data = sources.load(str(image_folder))
    assert data.train_x.shape == (16, 1, 5, 6)
    assert data.test_x.shape == (4, 1, 5, 6)
    assert data.num_classes == 2
    bright = data.train_x[:, 0, 0, 0] >= 100 / 255
    assert torch.equal(bright.long(), data.train_y)
    assert sources.load(f"hf:{image_folder}").fingerprint == data.fingerprint


def test_resize_colour_and_images_without_classes(image_folder):
    data = load_images(str(image_folder), resize=4, grayscale=False, labels=False)
    assert data.train_x.shape == (16, 3, 4, 4)
    assert data.num_classes == 0


def test_images_of_different_sizes_ask_for_resize(image_folder):
    Image.new("L", (9, 9)).save(image_folder / "cat" / "big.png")
    with pytest.raises(ValueError, match=r"images of one size, got .*\(9, 9\).*set resize"):
        sources.load(str(image_folder))


def test_parquet_without_metadata_and_with_named_splits(tmp_path, image_folder):
    rows = [
        {"picture": {"bytes": p.read_bytes(), "path": None}, "kind": p.parent.name}
        for p in sorted(image_folder.rglob("*.png"))
    ]
    (tmp_path / "plain").mkdir()
    for split in ("train", "test"):
        datasets.Dataset.from_list(rows).to_parquet(tmp_path / "plain" / f"{split}-00000-of-00001.parquet")
    data = sources.load(str(tmp_path / "plain"))
    assert len(data.train_x) == len(data.test_x) == 20
    assert data.train_y.tolist() == [0] * 10 + [1] * 10


def test_no_image_and_no_class_column(tmp_path):
    (tmp_path / "numbers").mkdir()
    datasets.Dataset.from_dict({"a": [1.0], "b": [2]}).to_parquet(tmp_path / "numbers" / "train.parquet")
    with pytest.raises(ValueError, match=r"has no image column; its columns are .*'a'.*image_column"):
        sources.load(str(tmp_path / "numbers"))


def test_columns_that_are_not_there(image_folder):
    with pytest.raises(ValueError, match="no column 'labels'"):
        sources.load(str(image_folder), label_column="labels")
    with pytest.raises(ValueError, match="no column 'img'"):
        sources.load(str(image_folder), image_column="img")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mnits", "unknown data source 'mnits'; choose 'digits', 'text', 'text:<file>', 'hf:"),
        ("/no/such/folder", "there is no data folder '/no/such/folder'"),
        ("hf:./no/such/folder", "there is no data folder 'no/such/folder'"),
    ],
)
def test_sources_that_are_not_there(source, message):
    with pytest.raises(ValueError, match=message):
        sources.load(source)


def test_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no parquet files or images"):
        sources.load(str(tmp_path / "empty"))


def test_coordinates_and_pixels_go_together():
    image = torch.arange(12.0).view(2, 2, 3)
    grid, values = sources.coordinates(2, 3), sources.pixels(image)
    assert grid.shape == (6, 2)
    assert grid.min() == -1
    assert grid.max() == 1
    # The last pixel of the first row is at row -1, column 1.
    assert grid[2].tolist() == [-1, 1]
    assert values[2].tolist() == image[:, 0, 2].tolist()


def test_real_images(shared):
    data = sources.load(str(shared / "data" / "mnist10k"), limit=100)
    assert data.train_x.shape == (100, 1, 28, 28)
    assert data.num_classes == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resiz": 12}, "unknown option 'resiz'; expected one of image_column, label_column, resize"),
        ({"resize": "12"}, "resize must be a whole number, got '12'"),
        ({"resize": -3}, "resize must be at least 1, got -3"),
        ({"limit": 2.5}, "limit must be a whole number, got 2.5"),
        ({"limit": True}, "limit must be a whole number, got True"),
    ],
)
def test_options_that_are_wrong(image_folder, options, message):
    with pytest.raises(ValueError, match=message):
        sources.load(str(image_folder), **options)


def test_a_relative_folder_that_is_not_there(monkeypatch):
    def offline(name):
        raise ConnectionError(f"no way to {name}")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(ValueError, match=r"neither a folder 'nodir/images' in .* nor a data set .*no way to nodir"):
        sources.load("nodir/images")
