"""Foreign files that are broken, ambiguous or malicious: one clear error that names the file, and nothing left."""

import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _mutations import CANARY, evil_pickles

from zoo.importers import import_zoo
from zoo.importers.array_files import open_npy, open_safetensors
from zoo.importers.documents import read_csv, read_lines
from zoo.importers.lmdb_files import LmdbFile
from zoo.importers.plain import plain
from zoo.importers.torch_files import TorchFile
from zoo.importers.unpickling import unpickle

Published = Callable[[str], tuple[Path, list[Any]]]


def refuse(format: str, folder: Path, match: str) -> None:
    out = folder.parent / "out"
    with pytest.raises(ValueError, match=match):
        import_zoo(format, folder, out, progress=False)
    assert not [path.name for path in folder.parent.iterdir() if path.name.endswith(".importing") or path == out]


def repack(path: Path, change: Callable[[str, bytes], bytes], how: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = [(name, change(name, archive.read(name))) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in entries:
            archive.writestr(name, data)


@pytest.mark.parametrize("number", range(len(evil_pickles(Path("x")))))
def test_no_code_of_a_pickle_is_run(number: int, published: Published, tmp_path: Path) -> None:
    folder, _ = published("nfn-inrs")
    path = sorted(folder.rglob("*.pth"))[0]
    evil = evil_pickles(tmp_path / CANARY)[number]
    repack(path, lambda name, data: evil if name.endswith("data.pkl") else data)
    refuse("nfn-inrs", folder, str(path))
    assert not (tmp_path / CANARY).exists()


@pytest.mark.parametrize(("call", "name"), [(os.system, "posix.system"), (eval, "__builtin__.eval")])
def test_what_a_pickle_asks_for_is_named(call: Callable[..., Any], name: str, published: Published) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return call, ("1",)

    folder, _ = published("dwsnets")
    path = sorted(folder.rglob("*.pth"))[0]
    torch.save({"seq.0.weight": Evil()}, path)
    refuse("dwsnets", folder, f"its pickle asks for '{name}', which could run code and is refused")


def test_the_stand_ins_of_one_format_are_not_allowed_in_another(published: Published) -> None:
    park, _ = published("cnn-wild-park")
    folder, _ = published("modelzoos")
    target = next(folder.glob("*/checkpoint_*/checkpoints"))
    shutil.copy(next(park.rglob("checkpoint.pt")), target)
    refuse("modelzoos", folder, "asks for '(omegaconf|pathlib)[.].*', which could run code and is refused")


def test_a_bomb_is_not_unpacked(published: Published) -> None:
    folder, _ = published("nfn-inrs")
    path = sorted(folder.rglob("*.pth"))[0]
    repack(path, lambda name, data: bytes(10**7), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2 * 10**5
    refuse("nfn-inrs", folder, "is compressed, which torch never does")


def test_a_line_that_never_ends_is_not_read(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "m.csv.gz"
    path.write_bytes(gzip.compress(bytes(10**7)))
    with pytest.raises(ValueError, match="a line has more than 1048576 bytes"):
        list(read_lines(path))


def test_more_rows_than_weights_end_the_import(published: Published) -> None:
    import gzip

    folder, _ = published("small-cnn-zoo")
    path = folder / "metrics.csv.gz"
    text = gzip.decompress(path.read_bytes()).decode()
    last = text.splitlines()[-1]
    with gzip.open(path, "wt") as file:
        file.write(text)
        file.writelines(f"{last.replace(',0,', f',{step},', 1)}\n" for step in range(100, 100_000))
    refuse("small-cnn-zoo", folder, "expected 9 rows with a modeldir and a step, got row 9")


def test_a_repeated_row_is_told(published: Published) -> None:
    import gzip

    folder, _ = published("small-cnn-zoo")
    path = folder / "metrics.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    with gzip.open(path, "wt") as file:
        file.write("\n".join([*lines[:-1], lines[1]]) + "\n")
    refuse("small-cnn-zoo", folder, r"row 8 repeats step \d+ of gs://zoo/\d")


def test_a_split_that_misses_a_row_is_told(published: Published) -> None:
    folder, _ = published("small-cnn-zoo")
    path = folder / "mnist_split.csv"
    path.write_text("\n".join(path.read_text().split()[:-1]) + "\n")
    refuse("small-cnn-zoo", folder, "mnist_split.csv: expected the rows 0 to 8 in some order, got 9 lines")


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((3, 4), np.float64), "expected 2 axes of float32 in C order, got shape (3, 4) of float64"),
        (np.zeros((3,), np.float32), "got shape (3,) of float32"),
        (np.zeros((3, 4), np.float32, order="F"), "in Fortran order"),
        (np.array([[{}]], dtype=object), "of object"),
    ],
)
def test_arrays_of_another_kind_are_told(array: np.ndarray, told: str, tmp_path: Path) -> None:
    import re

    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=re.escape(told)):
        open_npy(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(2**40, 4970), (2**62, 4), (2**64, 1), (4, 4), (3, -4)])
def test_a_shape_that_the_file_does_not_hold_is_told(shape: tuple[int, int], tmp_path: Path) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(48))
    with pytest.raises(ValueError, match=str(path)):
        open_npy(path)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ('{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,8]}}', "takes 4398046511104 bytes, not 8"),
        ('{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}', "begins at byte 8, expected 0"),
        ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', "its header accounts for"),
        ('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
         "the key 'a' stands there twice"),
        ('{"a":{"dtype":"X9","shape":[2],"data_offsets":[0,8]}}', "X9"),
        ('{"a":{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}}', "are not counts"),
        ("[" * 100_000, "damaged"),
    ],
)  # fmt: skip
def test_safetensors_headers_that_lie_are_told(header: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(8))
    with pytest.raises(ValueError, match=told):
        open_safetensors(path)


@pytest.mark.parametrize(
    "name", ["../secret.pt", "/etc/passwd", "a/../../secret.pt", "..\\secret.pt", "C:/secret.pt", "", "x" * 5000]
)
def test_names_that_lead_out_of_the_folder_are_refused(name: str, published: Published) -> None:
    folder, _ = published("folder")
    torch.save({}, folder.parent / "secret.pt")
    path = folder / "metadata.csv"
    path.write_text(path.read_text().replace("b1.safetensors", name))
    refuse("folder", folder, "metadata.csv: expected the name of a file below")


def test_an_index_that_leads_out_of_the_folder_is_refused(published: Published) -> None:
    folder, _ = published("hub")
    path = folder / "two" / "model.safetensors.index.json"
    content = json.loads(path.read_text())
    content["weight_map"]["head.bias"] = "../one/model.safetensors"
    path.write_text(json.dumps(content))
    refuse("hub", folder, "expected the name of a file below")


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ({"factory": "os:system", "arguments": {"command": "touch x"}}, "would be imported, which runs its code"),
        ({"factory": "mlp", "arguments": {"inputs": 10**9}}, "its recipe has numbers beyond 4096"),
        ({"factory": "mlp", "arguments": {"inputs": 5, "hidden": [3], "outputs": 2}}, "are not those of its recipe"),
        ({"factory": "mlp", "arguments": {"banana": 1}}, "cannot be built"),
    ],
)
def test_recipes_of_a_table_are_built_in_families_that_fit(
    recipe: dict[str, Any], told: str, published: Published
) -> None:
    import pandas

    folder, _ = published("folder")
    table = pandas.read_csv(folder / "metadata.csv")
    table["recipe"] = json.dumps(recipe)
    table.to_csv(folder / "metadata.csv", index=False)
    refuse("folder", folder, told)


def test_a_seed_that_is_no_number_stays_in_the_column_of_the_source(published: Published, tmp_path: Path) -> None:
    folder, _ = published("modelzoos")
    path = sorted(folder.rglob("params.json"))[0]
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1e999'))
    row = import_zoo("modelzoos", folder, tmp_path / "out", progress=False)[0].row
    assert row["seed"] is None
    assert row["source.seed"] == float("inf")


def test_an_epoch_that_is_no_number_is_told(published: Published) -> None:
    folder, _ = published("folder")
    path = folder / "metadata.csv"
    path.write_text(path.read_text().replace(",a,2,", ",a,two,"))
    refuse("folder", folder, f"{folder}: network a: expected a whole number as epoch, got 'two'")


def test_a_file_without_a_row_and_a_row_twice_are_told(published: Published) -> None:
    folder, _ = published("folder")
    path = folder / "metadata.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n")
    refuse("folder", folder, "a row for each file and a file for each row, not so for .*b1.safetensors")
    path.write_text("\n".join([*lines[:-1], lines[1]]) + "\n")
    refuse("folder", folder, "stands there twice")


def test_one_epoch_in_two_folders_is_told(published: Published) -> None:
    folder, _ = published("modelzoos")
    path = next(folder.glob("*/checkpoint_000001"))
    shutil.copytree(path, path.with_name("checkpoint_1"))
    refuse("modelzoos", folder, "checkpoint_1 repeats epoch 1|checkpoint_000001 repeats epoch 1")


def test_a_config_that_contradicts_its_weights_is_told(published: Published) -> None:
    folder, _ = published("cnn-wild-park")
    first, second = (sorted(folder.rglob("checkpoint.pt"))[i] for i in (0, 2))
    other = TorchFile(second, _allowed()).state_dict(TorchFile(second, _allowed()).content["model"])
    assert len(other) == 8
    shutil.copy(second, first)
    refuse("cnn-wild-park", folder, "expected one config|expected the entries|contradicts its weights")


def _allowed() -> dict[str, type]:
    from zoo.importers.cnn_wild_park import ALLOWED

    return ALLOWED


def test_a_flipped_bit_of_a_weight_is_found(published: Published) -> None:
    folder, _ = published("dwsnets")
    path = sorted(folder.rglob("*.pth"))[0]
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo(next(n for n in archive.namelist() if n.endswith("data/2"))).header_offset + 300
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    refuse("dwsnets", folder, f"{path}.*(another checksum|is damaged|lie within)")


@pytest.mark.parametrize("keep", [0, 1, 100, 5000, -1])
def test_a_truncated_database_is_told(keep: int, published: Published) -> None:
    folder, _ = published("gpt")
    path = folder / "mnist-0001" / "data.mdb"
    path.write_bytes(path.read_bytes()[:keep])
    if keep == -1:
        return
    refuse("gpt", folder, f"{path}: expected an LMDB file")


def test_every_bit_of_a_database_may_be_wrong(published: Published) -> None:
    folder, _ = published("gpt")
    path = folder / "cartpole-0001" / "data.mdb"
    data, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        broken = bytearray(data)
        broken[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(broken)
        message = _read_all(path)
        assert message is None or str(path) in message
        refused += message is not None
    assert refused > 5


def _read_all(path: Path) -> str | None:
    """Read every value of a database; the error if there is one."""
    try:
        database = LmdbFile(path)
        sizes = [len(database[key]) for key in database.keys() if key in database]  # noqa: SIM118
    except ValueError as error:
        return str(error)
    assert max(sizes, default=0) <= path.stat().st_size
    return None


def test_a_configuration_that_holds_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="holds itself"):
        plain(loop, "x")
    wide: list[Any] = [0]
    for _ in range(40):
        wide = [wide, wide]
    with pytest.raises(ValueError, match="more than 100000 values"):
        plain(wide, "x")


def test_csv_that_does_not_line_up_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for text, told in (
        ("a,a\n1,2\n", "twice"),
        ("a,b\n1\n", "line 2 has 1 cells"),
        ("x\n1\n", "expected the columns a"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"{path}: .*{told}"):
            list(read_csv(path, ("a",)))


def test_the_folder_to_import_into_is_free_and_apart(published: Published, tmp_path: Path) -> None:
    folder, _ = published("nfn-inrs")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("keep")
    for out, told in ((taken, "new or empty"), (folder / "zoo", "two folders apart"), (tmp_path, "new or empty")):
        with pytest.raises(ValueError, match=told):
            import_zoo("nfn-inrs", folder, out, progress=False)
    assert [path.name for path in taken.iterdir()] == ["mine.txt"]
    with pytest.raises(ValueError, match="unknown format 'nope'; expected one of small-cnn-zoo"):
        import_zoo("nope", folder, tmp_path / "out", progress=False)
    with pytest.raises(ValueError, match=r"but .*nowhere is none"):
        import_zoo("nfn-inrs", tmp_path / "nowhere", tmp_path / "out", progress=False)
    (tmp_path / "empty").mkdir()
    refuse("nfn-inrs", tmp_path / "empty", "expected networks of the format nfn-inrs")


def test_what_a_killed_import_left_is_swept(published: Published, tmp_path: Path) -> None:
    folder, _ = published("nfn-inrs")
    left, other = tmp_path / ".zoo.999999999.importing", tmp_path / ".zoo2.999999999.importing"
    for path in (left, other):
        path.mkdir()
    import_zoo("nfn-inrs", folder, tmp_path / "zoo", progress=False)
    assert not left.exists()
    assert other.exists()


def test_unpickling_knows_nothing_but_a_short_list() -> None:
    for name in (
        "builtins.getattr",
        "torch.load",
        "collections.Counter",
        "zoo.importers.unpickling.Inert",
        "os.system",
    ):
        module, _, attribute = name.rpartition(".")
        with pytest.raises(ValueError, match=f"asks for '{name}'"):
            unpickle(f"c{module}\n{attribute}\n.".encode(), "x")
