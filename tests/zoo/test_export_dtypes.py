"""Weights of other dtypes than float32, as imported zoos have them, travel bit for bit too."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import load_file, safe_open, save_file

import zoo
from zoo import Zoo
from zoo.exporting import hdf5
from zoo.exporting.pyg import ZooDataset

DTYPES = (torch.bfloat16, torch.float16, torch.float64)


@pytest.fixture(scope="module", params=DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
def converted(request: pytest.FixtureRequest, small_zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """A copy of the small zoo whose weights are of another dtype."""
    root = Path(shutil.copytree(small_zoo.root, tmp_path_factory.mktemp("dtype") / "zoo"))
    for path in (root / "shards").iterdir():
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        facts = json.loads(metadata["zoo"])
        for entry in facts["layout"]:
            entry["dtype"] = str(request.param).removeprefix("torch.")
        tensors = load_file(path)
        save_file(tensors | {"states": tensors["states"].to(request.param)}, path, {"zoo": json.dumps(facts)})
    return zoo.open(root)


def test_the_loader_keeps_the_dtype(converted: Zoo) -> None:
    for batch in converted.loader(5, shuffle=True):
        assert batch.weights.dtype == converted[0].flat().dtype
        for index, state, weights in zip(batch.index.tolist(), batch.state.tolist(), batch.weights, strict=True):
            assert torch.equal(weights, converted[index].flat(state))


def test_exports_keep_every_bit(converted: Zoo, tmp_path: Path, same_bits: Callable[..., bool]) -> None:
    def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
        return same_bits(*({k: first[k].view(torch.uint8) for k in sorted(first)} for first in (first, second)))

    def rows(path: Path) -> list[dict]:
        return parquet.read_table(path).to_pylist()

    for to in ("hf", "pyg", "safetensors"):
        zoo.export(converted, to, tmp_path / to, progress=False)
    for split in (tmp_path / "hf" / "data").iterdir():
        for row in rows(split):
            assert same(zoo.state_dict_of(row), converted.find(row["id"]).state_dict(row["state"]))
    for row in rows(tmp_path / "safetensors" / "metadata.parquet"):
        file = tmp_path / "safetensors" / row["file"]
        assert same(load_file(file), converted.find(row["id"]).state_dict(row["state"]))
    data = ZooDataset(tmp_path / "pyg")
    for number, (place, state) in enumerate(converted.samples()):
        assert same(data.graph(number).state_dict(), converted[place].state_dict(state))


def test_hdf5_keeps_what_it_has(converted: Zoo, tmp_path: Path, same_bits: Callable[..., bool]) -> None:
    if converted[0].flat().dtype == torch.bfloat16:
        with pytest.raises(ValueError, match=r"HDF5 has no bfloat16, in which the weights of .* are; export to hf"):
            zoo.export(converted, "hdf5", tmp_path / "out", progress=False)
        assert list(tmp_path.iterdir()) == []
        return
    zoo.export(converted, "hdf5", tmp_path / "out", progress=False)
    with h5py.File(tmp_path / "out" / "zoo.h5") as file:
        for group in file.values():
            member = converted.find(group["columns/id"].asstr()[0])
            assert same_bits(hdf5.state_dict_of(group, 0), member.state_dict())
