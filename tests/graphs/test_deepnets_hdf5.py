"""Files in the layout of DeepNets-1M: what is written is read back; damaged and foreign ones are told."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from graphs import Recipe, sample_architecture
from graphs.deepnets.hdf5 import DeepNetsFile, write_deepnets
from graphs.deepnets.predefined import predefined
from graphs.deepnets.published import PRIMITIVES, published_graph

SPLITS = {"test": "deepnets", "wide": "deepnets_wide", "small": "deepnets_small"}


@pytest.fixture(scope="module")
def recipes() -> dict[str, list[Recipe]]:
    return {split: [sample_architecture(space, seed) for seed in range(4)] for split, space in SPLITS.items()}


@pytest.fixture
def path(tmp_path: Path, recipes: dict[str, list[Recipe]]) -> Path:
    write_deepnets(tmp_path / "nets.hdf5", recipes)
    return tmp_path / "nets.hdf5"


def meta(path: Path) -> Path:
    return path.with_name("nets_meta.json")


def forget_digest(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file.attrs["meta_sha256"]


def test_what_is_written_is_read_back(path: Path, recipes: dict[str, list[Recipe]]) -> None:
    assert sorted(p.name for p in path.parent.iterdir()) == ["nets.hdf5", "nets_meta.json"]
    for split, written in recipes.items():
        with DeepNetsFile(path, split) as nets:
            read = list(nets)
        assert [net.recipe for net in read] == written
        for net, recipe in zip(read, written, strict=True):
            assert net.graph == published_graph(recipe)
            assert torch.equal(net.distances, net.graph.shortest_paths(250))
            held = {name: shape for node in net.graph.nodes for name, shape in node.parameters.items()}
            with torch.device("meta"):
                module = net.recipe.build()
            assert held == {name: tuple(p.shape) for name, p in module.named_parameters()}


def test_the_layout_is_the_published_one(path: Path, recipes: dict[str, list[Recipe]]) -> None:
    told = json.loads(meta(path).read_text())
    with h5py.File(path) as file:
        adjacency, nodes = file["test/0/adj"][()], file["test/0/nodes"][()]
    assert (adjacency.dtype, nodes.dtype) == (np.uint8, np.uint16)
    assert len(adjacency) == len(nodes) == told["test"]["nets"][0]["num_nodes"]
    words = told["test"]["meta"]["primitives_ext"]
    assert {w.removesuffix("_1x1") for w in words.values()} <= set(PRIMITIVES)
    names = [told["test"]["meta"]["unique_op_names"][str(i)] for i in nodes[:, 2]]
    assert (names[0], names[-1]) == ("input", "classifier.3.bias")
    assert nodes[-1, 1] == recipes["test"][0].arguments["n_cells"] - 1
    # Published readers widen the channels of this split themselves.
    assert [4 * n["C"] for n in told["wide"]["nets"]] == [r.arguments["C"] for r in recipes["wide"]]
    assert {n["norm"] for split in told.values() for n in split["nets"]} <= {"bnorm", None}


def test_published_files_of_training_tell_no_channels_nor_sizes(path: Path) -> None:
    told = json.loads(meta(path).read_text())
    for net in told["test"]["nets"]:
        for name in ("C", "input_shape", "outputs", "large_images"):
            del net[name]
    meta(path).write_text(json.dumps(told))
    forget_digest(path)
    with DeepNetsFile(path, "test", outputs=7) as nets:
        assert nets[1].recipe.arguments["C"] == 32
        assert nets[1].recipe.arguments["outputs"] == 7


def test_names_of_older_files(tmp_path: Path) -> None:
    """They leave out what their code lays between, and have kernels in names."""
    recipe = sample_architecture("deepnets", 1)
    write_deepnets(tmp_path / "nets.hdf5", {"train": [recipe]})
    told = json.loads(meta(tmp_path / "nets.hdf5").read_text())
    words = told["train"]["meta"]
    words["unique_op_names"] = {
        i: name.replace(".op.", ".") if name.startswith("_ops") else name.replace("to_out.0.weight", "to_out.0.")
        for i, name in words["unique_op_names"].items()
    }
    words["primitives_ext"] = {
        i: {"bias": "fc-b", "sep_conv": "sep_conv_3x3", "max_pool": "max_pool_3x3"}.get(word, word)
        for i, word in words["primitives_ext"].items()
    }
    meta(tmp_path / "nets.hdf5").write_text(json.dumps(told))
    forget_digest(tmp_path / "nets.hdf5")
    with DeepNetsFile(tmp_path / "nets.hdf5", "train") as nets:
        assert nets[0].graph == published_graph(recipe)


def test_the_published_transformer(tmp_path: Path) -> None:
    write_deepnets(tmp_path / "nets.hdf5", {"test": [predefined(C=16, n_cells=3)["vit"]]})
    with DeepNetsFile(tmp_path / "nets.hdf5", "test") as nets:
        names = [node.name for node in nets[0].graph.nodes]
    assert names[:8] == ["input", "conv", "pos_enc", "sum", "ln", "conv", "msa", "conv"]
    assert names[-5:] == ["avg_pool", "avg_pool", "glob_avg", "conv", "bias"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """One byte in the values of the first matrix."""
    with h5py.File(path) as file:
        offset = file["test/0/adj"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset + 20] ^= 255
    path.write_bytes(bytes(data))


def spoil(word: bytes):
    """Damage to what HDF5 tells its tables by."""

    def change(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data.replace(word, word[::-1], 1))

    return change


def write(name: str, value: object):
    def change(path: Path) -> None:
        with h5py.File(path, "a") as file:
            del file[f"test/0/{name}"]
            if value is not None:
                file[f"test/0/{name}"] = value

    return change


def tell(change):
    def changed(path: Path) -> None:
        told = json.loads(meta(path).read_text())
        change(told["test"])
        meta(path).write_text(json.dumps(told))
        forget_digest(path)

    return changed


BYTE = np.zeros((5, 5), dtype=np.uint8)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda p: p.unlink(), "no file .*nets.hdf5"),
        (lambda p: meta(p).unlink(), "no file .*nets_meta.json"),
        (lambda p: meta(p).write_text("{"), "is not the meta file"),
        (lambda p: meta(p).write_text("[]"), "is not the meta file"),
        (lambda p: meta(p).write_text("{}"), "no split 'test'"),
        (lambda p: meta(p).write_text(meta(p).read_text() + " "), "is not the meta file that .* was written with"),
        (lambda p: p.write_bytes(b"foreign"), "is no whole HDF5 file"),
        (cut, "is no whole HDF5 file"),
        (spoil(b"TREE"), "is no whole HDF5 file"),
        (flip, "architecture 0 of 'test' is damaged"),
        (write("adj", None), "damaged or of another layout: .*adj"),
        (write("adj", BYTE), r"adj \[N, N\] and nodes \[N, 3\].* got uint8 \[5, 5\]"),
        (write("adj", BYTE.astype(float)), "float64"),
        (write("nodes", np.zeros((5, 2), dtype=np.uint16)), r"uint16 \[5, 2\]"),
        (write("adj", "text"), r"expected adj \[N, N\]"),
        (tell(lambda t: t["nets"].pop()), "expected 3 architectures .* got 4"),
        (tell(lambda t: t["nets"][0].pop("n_cells")), "layout: 'n_cells'"),
        (tell(lambda t: t["nets"][0].update(n_cells=3)), "the network has no parameter"),
        (tell(lambda t: t["nets"][0].update(ks="3")), "ks: expected one of"),
        (tell(lambda t: t["nets"].__setitem__(0, 3)), "damaged or of another layout"),
        (tell(lambda t: t["meta"].pop("primitives_ext")), "expected primitives_ext and unique_op_names"),
        (tell(lambda t: t["meta"]["primitives_ext"].update({"0": "lstm"})), "unknown primitive 'lstm'"),
        (tell(lambda t: t["meta"]["unique_op_names"].pop("1")), "no names for the primitive"),
    ],
)
def test_damaged_and_foreign_files_are_told(path: Path, damage, told: str) -> None:
    damage(path)
    with pytest.raises(ValueError, match=told), DeepNetsFile(path, "test") as nets:
        nets[0]


def test_parameters_without_a_node_are_told(path: Path) -> None:
    with h5py.File(path, "a") as file:
        nodes = file["test/0/nodes"][()]
        nodes[-1] = nodes[0]
        file["test/0/nodes"][...] = nodes
    with (
        DeepNetsFile(path, "test") as nets,
        pytest.raises(ValueError, match=r"no node holds .*classifier\.3\.bias \(1 in"),
    ):
        nets[0]


def test_distances_that_are_none_are_told(path: Path) -> None:
    with h5py.File(path, "a") as file:
        adjacency = file["test/0/adj"][()]
        adjacency[adjacency == 3] = 4
        file["test/0/adj"][...] = adjacency
    with DeepNetsFile(path, "test") as nets, pytest.raises(ValueError, match="does not hold the lengths"):
        nets[0]


def test_an_error_leaves_no_file_and_the_old_one_whole(path: Path, recipes: dict[str, list[Recipe]]) -> None:
    before = path.read_bytes()

    def failing():
        yield recipes["test"][0]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_deepnets(path, {"test": failing()})
    with pytest.raises(ValueError, match="family 'deepnet', got 'mlp'"):
        write_deepnets(path.with_name("other.hdf5"), {"test": [Recipe("mlp")]})
    with pytest.raises(ValueError, match="divisible by 4 in the split 'wide', got 6"):
        write_deepnets(path.with_name("other.hdf5"), {"wide": [Recipe("deepnet", {"C": 6})]})
    with pytest.raises(ValueError, match=r"expected a file NAME\.hdf5, got 'nets\.h5'"):
        write_deepnets("nets.h5", {})
    assert sorted(p.name for p in path.parent.iterdir()) == ["nets.hdf5", "nets_meta.json"]
    assert path.read_bytes() == before


def test_a_number_that_is_not_there(path: Path) -> None:
    with DeepNetsFile(path, "test") as nets, pytest.raises(IndexError, match="expected a number below 4, got 4"):
        nets[len(nets)]
