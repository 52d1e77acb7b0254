"""Every importer on a zoo in the published layout: the imported networks say what the published ones say."""

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import graphs
import zoo
from zoo.__main__ import main
from zoo.importers import FORMATS, import_zoo

Published = Callable[[str], tuple[Path, list[Any]]]


def find(z: zoo.Zoo, source: str) -> zoo.Member:
    (found,) = [member for member in z if member.row["source"].endswith(source)]
    return found


@pytest.mark.parametrize("format", FORMATS)
def test_networks_say_what_the_published_ones_say(format: str, published: Published, tmp_path: Path) -> None:
    folder, known = published(format)
    z = import_zoo(format, folder, tmp_path / "zoo", progress=False)
    assert len(z) == len(known)
    for network in known:
        member = find(z, network.source)
        assert member.epochs == network.epochs
        for step, outputs in enumerate(network.outputs):
            with torch.no_grad():
                assert (member.module(step)(network.x) - outputs).abs().max() < 1e-5
        for name, value in network.columns.items():
            assert member.row[name] == (pytest.approx(value) if isinstance(value, (float, list)) else value)
    assert zoo.verify(z.root) == []
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, "zoo"}


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "hub"])
def test_networks_have_graphs_and_batches(format: str, published: Published, tmp_path: Path) -> None:
    folder, known = published(format)
    z = import_zoo(format, folder, tmp_path / "zoo", progress=False)
    assert zoo.info(z.root)["topologies"]["untraceable"] == {}
    for network in known:
        graph = find(z, network.source).graph()
        moved = graph.apply(graph.topology.random_symmetry(torch.Generator().manual_seed(0)))
        module = find(z, network.source).module()
        module.load_state_dict(moved.state_dict())
        with torch.no_grad():
            assert (module(network.x) - network.outputs[-1]).abs().max() < 1e-4
    if "test_accuracy" in z.table.column_names:
        batches = list(z.loader(batch_size=100))
        assert sum(z.graphs(batch).num_graphs for batch in batches) == len(z.samples())


def test_weights_of_the_hub_are_kept_bit_for_bit(published: Published, tmp_path: Path) -> None:
    folder, known = published("hub")
    z = import_zoo("hub", folder, tmp_path / "zoo", progress=False)
    for network in known:
        member = find(z, network.source)
        assert torch.equal(member.flat(), network.x)
        assert list(member.state_dict()) == ["embed.weight", "head.bias"]
        told = r"(no model 'mystery'|takes transformers).*its 2 tensors can be read all the same"
        with pytest.raises(ValueError, match=told):
            member.module()


def test_the_order_of_nfn_is_read_without_its_stray_line(published: Published, tmp_path: Path) -> None:
    folder, _ = published("small-cnn-zoo")
    lines = (folder / "mnist_split.csv").read_text().split()
    assert lines[0] == "0"
    assert len(lines) == 9 + 1
    z = import_zoo("small-cnn-zoo", folder, tmp_path / "zoo", progress=False)
    import gzip

    with gzip.open(folder / "metrics.csv.gz", "rt") as file:
        rows = [line.split(",") for line in file.read().splitlines()]
    run, step = rows[0].index("modeldir"), rows[0].index("step")
    final = [rows[1 + int(i)][run] for i in lines[1:] if rows[1 + int(i)][step] == "86"]
    # Of three networks the last two are the test half, since half of three is one, of which four fifths are none.
    assert [find(z, name).row["mnist_split"] for name in final] == ["val", "test", "test"]


def test_dropout_shifts_numbers_and_a_logged_start_shifts_lines(published: Published, tmp_path: Path) -> None:
    folder, _ = published("modelzoos")
    trials = sorted(folder.glob("NN_*"))
    keys = [list(torch.load(next(t.glob("checkpoint_*2")) / "checkpoints", weights_only=True)) for t in trials]
    assert [key.split(".")[1] for key in keys[0][::2]] == ["0", "3", "6", "9", "11"]
    assert [key.split(".")[1] for key in keys[1][::2]] == ["0", "4", "8", "11", "14"]
    z = import_zoo("modelzoos", folder, tmp_path / "zoo", progress=False)
    assert len({member.row["architecture"] for member in z}) == 1
    # The line of epoch 2 is the second of the first trials and the third of the last, where epoch 0 was logged.
    assert find(z, trials[0].name).row["test_accuracy"] == pytest.approx([0.1, 0.2])
    assert find(z, trials[2].name).row["test_accuracy"] == pytest.approx([0.02, 0.12, 0.22])


def test_metrics_are_found_by_iteration_not_by_line(published: Published, tmp_path: Path) -> None:
    folder, _ = published("modelzoos")
    trial = sorted(folder.glob("NN_*"))[0]
    first, second = (trial / "result.json").read_text().splitlines()
    stale = json.dumps(json.loads(first) | {"test_acc": 0.0})
    (trial / "result.json").write_text("\n".join([stale, second, first]) + "\n")
    z = import_zoo("modelzoos", folder, tmp_path / "zoo", progress=False)
    assert find(z, trial.name).row["test_accuracy"] == pytest.approx([0.1, 0.2])


def test_an_imported_zoo_tells_its_origin(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = published("dwsnets")
    out = tmp_path / "zoo"
    assert main(["import", "dwsnets", str(folder), str(out), "--quiet"]) == 0
    assert "4 networks, 4 states" in capsys.readouterr().out
    assert main(["info", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "imported       dwsnets from published-dwsnets (5 files" in shown
    assert "trainer        imported for 4: trained elsewhere" in shown
    assert main(["verify", str(out)]) == 0
    sources = json.loads((out / "sources.json").read_text())
    path = folder / "fmnist_inrs" / "train" / "model_0.pth"
    import hashlib

    assert sources["files"]["fmnist_inrs/train/model_0.pth"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    capsys.readouterr()
    z = zoo.open(out)
    assert main(["recreate", str(out), z[0].id]) == 2
    assert "was trained elsewhere and imported (dwsnets: " in capsys.readouterr().err
    with pytest.raises(ValueError, match="has no spec: it was imported"):
        _ = z.spec
    with pytest.raises(ValueError, match="it holds an imported one; build into another folder"):
        zoo.build({"data": "digits", "recipes": ["mlp"], "members": 1}, out, workers=0, progress=False)
    (out / "sources.json").write_text("{}")
    assert zoo.verify(out) == [
        "sources.json has 2 bytes, expected " + str(z.store.manifest.files["sources.json"]["bytes"])
    ]


def test_equal_networks_are_stored_once(published: Published, tmp_path: Path) -> None:
    folder, _ = published("dwsnets")
    path = folder / "fmnist_inrs" / "train" / "model_0.pth"
    (path.parent / "model_7.pth").write_bytes(path.read_bytes())
    z = import_zoo("dwsnets", folder, tmp_path / "zoo", progress=False)
    assert len(z) == len(set(z.table["id"].to_pylist())) == 4
    assert zoo.info(z.root)["imported"]["duplicates"] == 1
    assert json.loads((z.root / "sources.json").read_text())["duplicates"] == {
        "fmnist_inrs/train/model_7.pth": "fmnist_inrs/train/model_0.pth"
    }


def test_importing_twice_gives_the_same_bytes(published: Published, tmp_path: Path) -> None:
    folder, _ = published("cnn-wild-park")
    for name in "ab":
        import_zoo("cnn-wild-park", folder, tmp_path / name, progress=False)
    content = [
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*") if p.is_file()} for n in "ab"
    ]
    assert content[0] == content[1]


def test_many_networks_go_to_shards_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import save_file

    from zoo.importers import writing

    (tmp_path / "src").mkdir()
    for i in range(20):
        save_file({"weight": torch.full((8 + i % 2, 4), float(i))}, tmp_path / "src" / f"{i:02d}.safetensors")
    monkeypatch.setattr(writing, "SHARD_BYTES", 3 * 8 * 4 * 4)
    monkeypatch.setattr(writing, "HELD_BYTES", 4 * 8 * 4 * 4)
    z = import_zoo("folder", tmp_path / "src", tmp_path / "zoo", progress=False)
    sizes = [row["members"] for row in z.store.manifest.shards.values()]
    assert sum(sizes) == 20
    assert max(sizes) <= 3
    assert sorted(float(member.flat()[0]) for member in z) == list(range(20))


def test_states_of_other_dtypes_are_kept(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    (tmp_path / "src").mkdir()
    values = torch.randn(3, 2)
    for i, dtype in enumerate((torch.float16, torch.bfloat16, torch.float64)):
        state = {"w": values.to(dtype), "count": torch.tensor(i)}
        save_file(state, tmp_path / "src" / f"{i}.safetensors")
    z = import_zoo("folder", tmp_path / "src", tmp_path / "zoo", progress=False)
    for i, dtype in enumerate((torch.float16, torch.bfloat16, torch.float64)):
        state = find(z, f"{i}.safetensors").state_dict()
        assert torch.equal(state["w"], values.to(dtype))
        assert state["w"].dtype == dtype
        assert state["count"] == i


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_a_table_may_be_json_or_parquet(suffix: str, published: Published, tmp_path: Path) -> None:
    import pandas

    folder, known = published("folder")
    table = pandas.read_csv(folder / "metadata.csv")
    (folder / "metadata.csv").unlink()
    if suffix == ".json":
        rows = json.loads(table.to_json(orient="records"))
        (folder / "t.json").write_text(json.dumps({row.pop("file"): row for row in rows}))
    else:
        table.to_parquet(folder / "t.parquet")
    z = import_zoo("folder", folder, tmp_path / "zoo", progress=False)
    for network in known:
        assert find(z, network.source).row["test_accuracy"] == pytest.approx(network.columns["test_accuracy"])


def test_a_model_of_transformers_is_rebuilt(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="rebuilding takes transformers, the extra corpus")
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from corpus.torchvision_shim import importable_torchvision

    if find_spec("torchvision"):
        importable_torchvision()
    config = transformers.GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    model = transformers.GPT2LMHeadModel(config).eval()
    model.save_pretrained(tmp_path / "src")
    z = import_zoo("hub", tmp_path / "src", tmp_path / "zoo", progress=False)
    x = torch.randint(11, (2, 5), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(z[0].module()(x).logits, model(x).logits)
    # The head is tied to the embedding, and stored once.
    assert len(z[0].flat()) == sum(p.numel() for p in model.parameters())


def test_the_command_needs_no_torch_to_teach() -> None:
    import subprocess

    code = "import sys, zoo.__main__ as m\ntry: m.main(['import', '--help'])\n"
    code += "except SystemExit: print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.endswith("False\n")
    assert all(f"\n  {name} " in shown for name in FORMATS)


def test_an_imported_zoo_meets_graphs_of_a_built_one(published: Published, tmp_path: Path) -> None:
    folder, known = published("dwsnets")
    z = import_zoo("dwsnets", folder, tmp_path / "zoo", progress=False)
    from graphs.families.siren import Siren

    assert z[0].topology.digest == graphs.trace(Siren(), torch.zeros(2, 2)).digest
    assert np.isfinite(z[0].flat().numpy()).all()
    assert len(known) == 4
