"""A zoo as a file a state: every name, bit for bit, and a table that says what each file is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from safetensors.torch import load_file

import zoo
from zoo import Zoo


@pytest.fixture(scope="module")
def exported(varied_zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.export(varied_zoo, "safetensors", tmp_path_factory.mktemp("files") / "out", progress=False)


def rows(folder: Path) -> list[dict[str, Any]]:
    return parquet.read_table(folder / "metadata.parquet").to_pylist()


def test_every_state_is_a_file_with_its_state_dict(
    exported: Path, varied_zoo: Zoo, same_bits: Callable[..., bool]
) -> None:
    found = rows(exported)
    assert [(row["id"], row["state"]) for row in found] == [(m.id, t) for m in varied_zoo for t in range(2)]
    assert {row["file"] for row in found} == {str(p.relative_to(exported)) for p in exported.rglob("*.safetensors")}
    for row in found:
        state = varied_zoo.find(row["id"]).state_dict(row["state"])
        loaded = load_file(exported / row["file"])
        assert same_bits(dict(sorted(loaded.items())), dict(sorted(state.items())))
    tied = next(row for row in found if row["family"] == "tied_nets:Tied")
    assert {"first.weight", "second.weight"} <= set(load_file(exported / tied["file"]))


def test_a_row_says_what_the_table_says(exported: Path, varied_zoo: Zoo) -> None:
    for row in rows(exported):
        member = varied_zoo.find(row["id"])
        assert row["network"] == row["id"]
        assert row["epoch"] == member.epochs[row["state"]]
        assert (row["lr"], row["activation"], row["split"]) == (
            member.row["lr"],
            member.row["activation"],
            member.split,
        )
        for name, values in member.metrics.items():
            assert row[name] == pytest.approx(values[row["state"]].tolist(), abs=0, nan_ok=True)


def test_the_table_is_written_in_parts(small_zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.exporting.safetensors.NETWORKS", 5)
    out = zoo.export(small_zoo, "safetensors", tmp_path / "out", states="final", progress=False)
    assert [row["network"] for row in rows(out)] == [member.id for member in small_zoo]
    assert all((out / row["file"]).is_file() and row["state"] == 1 for row in rows(out))


def test_a_column_of_an_imported_zoo_displaces_none_of_ours(small_zoo: Zoo, tmp_path: Path) -> None:
    z = zoo.open(small_zoo.root)
    for name in ("state", "file", "weights"):
        z.store.table = z.store.table.append_column(name, [["theirs"] * len(z)])
    for row in rows(zoo.export(z, "safetensors", tmp_path / "out", progress=False)):
        assert row["source.state"] == row["source.file"] == row["source.weights"] == "theirs"
        assert row["state"] in (0, 1)
        assert row["file"] == f"weights/{row['id']}/{row['state']:05d}.safetensors"
