"""A zoo as a file a state: every name, bit for bit, and a table that says what each file is."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

import zoo
from zoo import Zoo


@pytest.fixture(scope="module")
def exported(varied_zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.export(varied_zoo, "safetensors", tmp_path_factory.mktemp("files") / "out", progress=False)


def rows(folder: Path) -> list[dict]:
    # parse_constant sees what is not JSON: NaN and infinities.
    return [json.loads(s, parse_constant=pytest.fail) for s in (folder / "metadata.jsonl").read_text().splitlines()]


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
        assert row["epoch"] == member.epochs[row["state"]]
        assert (row["lr"], row["activation"], row["split"]) == (
            member.row["lr"],
            member.row["activation"],
            member.split,
        )
        for name, values in member.metrics.items():
            value = float(values[row["state"]])
            assert row[name] == (value if value == value else None)
