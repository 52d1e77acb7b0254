"""A zoo as a Hugging Face data set: what `datasets` reads, streaming or not, is bit for bit what was trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import yaml
from pyarrow import parquet

import zoo
from zoo import Zoo
from zoo.__main__ import main
from zoo.exporting import hf


@pytest.fixture(scope="module")
def exported(varied_zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dest = tmp_path_factory.mktemp("hf") / "out"
    return zoo.export(varied_zoo, "hf", dest, licence="cc-by-4.0", progress=False)


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def read(folder: Path, streaming: bool, cache: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of every split."""
    splits = datasets.load_dataset(str(folder), streaming=streaming, cache_dir=str(cache))
    return {str(split): list(rows) for split, rows in splits.items()}


@pytest.mark.parametrize("streaming", [False, True])
def test_every_state_comes_back_bit_for_bit(
    exported: Path, varied_zoo: Zoo, same_bits: Callable[..., bool], tmp_path: Path, streaming: bool
) -> None:
    splits = read(exported, streaming, tmp_path)
    found = [(row["id"], row["state"]) for rows in splits.values() for row in rows]
    assert sorted(found) == sorted((m.id, t) for m in varied_zoo for t in range(2))
    for split, rows in splits.items():
        for row in rows:
            member = varied_zoo.find(row["id"])
            assert member.split == split
            assert same_bits(zoo.state_dict_of(row), member.state_dict(row["state"]))


def test_a_row_is_a_network_again(exported: Path, varied_zoo: Zoo, tmp_path: Path) -> None:
    rows = {row["id"]: row for split in read(exported, True, tmp_path).values() for row in split if row["state"] == 1}
    for member in varied_zoo.filter(family=["resnet", "siren"]):
        module, inputs = zoo.module_of(rows[member.id]), zoo.module_of(rows[member.id])
        assert not module.training
        assert all(torch.equal(a, b) for a, b in zip(module.parameters(), inputs.parameters(), strict=True))
        expected = member.module(1)
        x = torch.rand(3, 2) if member.row["family"] == "siren" else torch.rand(3, 1, 8, 8)
        assert torch.equal(module(x), expected(x))


def test_columns_are_those_of_the_table(exported: Path, varied_zoo: Zoo, tmp_path: Path) -> None:
    for rows in read(exported, False, tmp_path).values():
        for row in rows:
            member = varied_zoo.find(row["id"])
            assert row["epoch"] == member.epochs[row["state"]]
            for name in ("lr", "activation", "seed", "family", "status", "recipe", "image"):
                assert row[name] == member.row[name]
            for name, values in member.metrics.items():
                assert row[name] == pytest.approx(values[row["state"]].tolist(), abs=0, nan_ok=True)
            if row["family"] == "siren":
                assert row["test_accuracy"] is None


def test_files_are_made_for_reading_a_few_rows(exported: Path, small_zoo: Zoo, tmp_path: Path) -> None:
    for path in (exported / "data").iterdir():
        schema = parquet.read_schema(path)
        assert str(schema.field("weights").type) == "large_binary"
    # With little in a row group, the networks of a split lie in several, and in several files.
    before = hf.GROUP, hf.FILE
    try:
        hf.GROUP, hf.FILE = 4_000, 20_000
        zoo.export(small_zoo, "hf", tmp_path / "out", progress=False)
    finally:
        hf.GROUP, hf.FILE = before
    files = [parquet.ParquetFile(path) for path in sorted((tmp_path / "out" / "data").glob("train-*.parquet"))]
    assert len(files) > 1
    assert any(file.num_row_groups > 1 for file in files)
    assert all(file.metadata.row_group(i).num_rows <= 8 for file in files for i in range(file.num_row_groups))
    rows = read(tmp_path / "out", False, tmp_path / "cache")
    assert sum(map(len, rows.values())) == 24


def test_the_card_tells_what_the_zoo_is(exported: Path, varied_zoo: Zoo) -> None:
    _, head, text = (exported / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(head)
    assert card["license"] == "cc-by-4.0"
    assert card["size_categories"] == "n<1K"
    sizes = {split["name"]: split["num_examples"] for split in card["dataset_info"]["splits"]}
    expected = {name: 2 * len(varied_zoo.split(name)) for name in ("train", "val", "test")}
    assert sizes == {name: count for name, count in expected.items() if count}
    assert [row["split"] for row in card["configs"][0]["data_files"]] == sorted(sizes)
    for told in (
        "# 15 networks (mlp and resnet and siren and tied_nets:Tied) trained on digits",
        f"{len(varied_zoo.filter(status='ok'))} ok",
        "| activation | relu, tanh |",
        "- factory: tied_nets:Tied",
        varied_zoo.store.manifest.header["data"]["fingerprint"],
        f"torch {torch.__version__}",
        "cc-by-4.0",
        "```bibtex",
    ):
        assert told in text


def test_the_cards_own_example_runs(exported: Path) -> None:
    text = (exported / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0].replace("path/or/id/of/this/folder", str(exported))
    names: dict[str, Any] = {}
    exec(code, names)
    assert isinstance(names["net"], torch.nn.Module)


def test_a_row_without_its_weights_is_told(exported: Path, tmp_path: Path) -> None:
    row = next(iter(read(exported, True, tmp_path).values()))[0]
    with pytest.raises(ValueError, match="got no weights; keep them"):
        zoo.state_dict_of({name: value for name, value in row.items() if name != "weights"})
    with pytest.raises(ValueError, match=r"expected a flat vector of \d+ weights"):
        zoo.state_dict_of({**row, "weights": row["weights"][:8]})


class StubApi:
    """What `push` asks of huggingface_hub.HfApi, kept."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.files: dict[str, int] = {}
        self.error = error

    def whoami(self) -> dict[str, str]:
        if self.error:
            raise self.error
        return {"name": "me"}

    def create_repo(self, repo_id: str, **options: Any) -> None:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))

    def upload_folder(self, **options: Any) -> None:
        folder = Path(options.pop("folder_path"))
        self.files = {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
        self.calls.append(("upload_folder", options))


def test_push_sends_the_export_and_leaves_nothing_behind(small_zoo: Zoo) -> None:
    before, api = sorted(small_zoo.root.parent.iterdir()), StubApi()
    address = zoo.push(small_zoo, "me/my-zoo", licence="mit", private=True, api=api, progress=False)
    assert address == "https://huggingface.co/datasets/me/my-zoo"
    (first, created), (second, sent) = api.calls
    assert (first, second) == ("create_repo", "upload_folder")
    assert created == {"repo_id": "me/my-zoo", "repo_type": "dataset", "private": True, "exist_ok": True}
    assert (sent["repo_id"], sent["repo_type"]) == ("me/my-zoo", "dataset")
    assert {"README.md", "about.yaml", "data/train-00000.parquet"} <= api.files.keys()
    assert sorted(small_zoo.root.parent.iterdir()) == before


def test_push_sends_an_exported_folder_as_it_is(exported: Path) -> None:
    api = StubApi()
    zoo.push(exported, "me/my-zoo", api=api)
    assert api.files == {str(p.relative_to(exported)): p.stat().st_size for p in exported.rglob("*") if p.is_file()}


def test_push_without_a_token_or_a_network_is_told(
    small_zoo: Zoo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    assert main(["push", str(small_zoo.root), "me/my-zoo", "--quiet"]) == 2
    assert "expected a token of the Hugging Face hub to send me/my-zoo, got none; run `hf auth login`" in (
        capsys.readouterr().err
    )
    api = StubApi(ConnectionError("no route to host"))
    with pytest.raises(RuntimeError, match="did not take me/my-zoo: no route to host; check the connection"):
        zoo.push(small_zoo, "me/my-zoo", api=api, progress=False)
    assert api.calls == []


def test_push_tells_a_bad_name_and_a_folder_without_a_zoo(small_zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="me/my/zoo"):
        zoo.push(small_zoo, "me/my/zoo", api=StubApi())
    with pytest.raises(ValueError, match="expected a zoo in"):
        zoo.push(tmp_path, "me/my-zoo", api=StubApi())


def test_the_layout_column_is_json_without_metazoo(exported: Path, tmp_path: Path) -> None:
    import numpy as np

    row = next(iter(read(exported, True, tmp_path).values()))[0]
    layout, state = json.loads(row["layout"]), zoo.state_dict_of(row)
    flat = np.frombuffer(row["weights"], dtype=layout["dtype"])
    for entry in layout["entries"]:
        if "offset" in entry:
            size = int(np.prod(entry["shape"]))
            values = flat[entry["offset"] : entry["offset"] + size].reshape(entry["shape"])
            assert np.array_equal(values, state[entry["name"]].numpy(), equal_nan=True)
