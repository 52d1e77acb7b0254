"""What a zoo holds, and that reading it leaves it as it is."""

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import zoo
from graphs.recipe import Recipe
from zoo import Zoo
from zoo.sources import load
from zoo.topologies import trace_recipes

SMALL = {"source": "digits", "limit": 60}
MakeSpec = Callable[..., zoo.ZooSpec]
Content = Callable[[Path], dict[str, bytes]]


def test_every_network_is_there_once(small_zoo: Zoo) -> None:
    assert len(small_zoo) == 12
    assert len(set(small_zoo.table["id"].to_pylist())) == 12
    assert small_zoo.table["family"].to_pylist() == ["mlp"] * 6 + ["cnn"] * 6


def test_weights_give_the_stored_metrics(small_zoo: Zoo) -> None:
    data = load(**SMALL)
    for member in (small_zoo[0], small_zoo[-1]):
        for step, accuracy in enumerate(member.metrics["test_accuracy"]):
            with torch.no_grad():
                outputs = member.module(step)(data.test_x)
            assert (outputs.argmax(-1) == data.test_y).double().mean().item() == accuracy


def test_one_state_in_every_form(small_zoo: Zoo) -> None:
    for member in small_zoo:
        trajectory = member.trajectory()
        assert trajectory.shape == (2, member.topology.num_parameters)
        for step in (0, 1, -1):
            assert torch.equal(member.flat(step), trajectory[step])
            assert torch.equal(member.graph(step).flat(), trajectory[step])
            module, graph = member.module(step).state_dict(), member.graph(step).state_dict()
            for name, value in member.state_dict(step).items():
                assert torch.equal(module[name], value)
                assert torch.equal(graph[name], value)


def test_a_row_tells_all(small_spec: MakeSpec, small_zoo: Zoo) -> None:
    row = small_zoo[3].row
    recipe = Recipe.from_dict(json.loads(row["recipe"]))
    assert recipe.arguments["activation"] == row["activation"]
    assert recipe.arguments["hidden"] == [row["width"]] * 2
    assert row["epochs"] == [0, 2]
    assert len(row["test_loss"]) == 2
    assert row["data_fingerprint"] == load(**SMALL).fingerprint
    assert json.loads(row["versions"])["torch"] == torch.__version__
    assert row["spec"] == small_spec().digest
    assert row["trainer"] == "reference"


def test_integer_entries_travel(tmp_path: Path) -> None:
    spec = {"data": SMALL, "recipes": ["resnet"], "members": 2, "epochs": 1, "keep": [0, 1]}
    z = zoo.build(zoo.ZooSpec.from_dict(spec), tmp_path / "zoo", workers=0, progress=False)
    counters = {k: v for k, v in z[1].state_dict(-1).items() if k.endswith("num_batches_tracked")}
    assert counters
    assert all(v.dtype == torch.int64 and v == 1 for v in counters.values())
    assert all(v == 0 for k, v in z[1].state_dict(0).items() if k.endswith("num_batches_tracked"))
    assert torch.equal(z[1].graph().flat(), z[1].flat())


def test_editing_what_was_read_leaves_the_zoo(content: Content, small_zoo: Zoo) -> None:
    before = content(small_zoo.root)
    member = small_zoo[0]
    first = member.flat().clone()
    for value in (member.flat(), member.trajectory(), *member.state_dict().values(), member.graph().flat()):
        value.zero_()
    assert torch.equal(member.flat(), first)
    assert content(small_zoo.root) == before


def test_filters_by_value_list_and_predicate(small_zoo: Zoo) -> None:
    relu = small_zoo.filter(activation="relu", family=["mlp"])
    expected = [r["id"] for r in small_zoo.table.to_pylist() if r["activation"] == "relu" and r["family"] == "mlp"]
    assert [m.id for m in relu] == expected
    high = small_zoo.filter(lambda row: row["lr"] > 0.01)
    assert 0 < len(high) < 12
    assert all(m.row["lr"] > 0.01 for m in high)
    assert relu.filter(family="cnn").samples() == []
    with pytest.raises(ValueError, match="unknown column 'activaton'; expected one of id, split"):
        small_zoo.filter(activaton="relu")


def test_slices_and_ids(small_zoo: Zoo) -> None:
    assert [m.id for m in small_zoo[2:4]] == [small_zoo[2].id, small_zoo[3].id]
    assert small_zoo.find(small_zoo[5].id).number == 5
    assert small_zoo[5] in list(small_zoo)
    with pytest.raises(IndexError):
        small_zoo[12]
    with pytest.raises(ValueError, match="got 'zzz', which 0 of 12 have"):
        small_zoo.find("zzz")


def test_samples_are_states(small_zoo: Zoo) -> None:
    assert small_zoo.samples("all")[:3] == [(0, 0), (0, 1), (1, 0)]
    assert len(small_zoo.samples()) == 24
    assert small_zoo.samples("final") == [(i, 1) for i in range(12)]
    with pytest.raises(ValueError, match="all, final, got 'last'"):
        small_zoo.samples("last")


def test_a_zoo_travels_to_another_process_as_its_folder(small_zoo: Zoo) -> None:
    part = pickle.loads(pickle.dumps(small_zoo[3:5]))
    assert torch.equal(part[1].flat(), small_zoo[4].flat())


def test_a_folder_without_a_zoo_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"expected a zoo in {tmp_path}, but it has no manifest.jsonl"):
        zoo.open(tmp_path)


def test_diverged_networks_are_kept_and_flagged(small_spec: MakeSpec, tmp_path: Path) -> None:
    spec = small_spec(recipes=["mlp"], members=2, random={}, fixed={"optimiser": "sgd", "lr": 1e30, "momentum": 0.0})
    z = zoo.build(spec, tmp_path / "zoo", workers=0, progress=False)
    assert z.table["status"].to_pylist() == ["diverged"] * 2
    assert z[0].flat(0).isfinite().all()
    assert not z[0].flat(-1).isfinite().all()
    assert len(z.filter(status="ok")) == 0
    assert zoo.verify(z.root) == []
    assert zoo.info(z.root)["status"] == {"diverged": 2}


def test_image_networks_know_their_image(tmp_path: Path) -> None:
    spec = zoo.ZooSpec.from_dict({"data": SMALL, "recipes": ["siren"], "members": 3, "epochs": 2})
    z = zoo.build(spec, tmp_path / "zoo", workers=0, progress=False)
    assert z.table["image"].to_pylist() == [0, 1, 2]
    assert z.table["label"].to_pylist() == load(**SMALL).train_y[:3].tolist()
    assert set(z[0].metrics) == {"loss", "psnr"}


def test_grid_zoo_with_one_state_opens(tmp_path: Path) -> None:
    spec = {"data": SMALL, "recipes": ["mlp"], "grid": {"arguments.hidden": [[3], [4, 3]]}, "epochs": 1}
    z = zoo.build(zoo.ZooSpec.from_dict(spec), tmp_path / "zoo", workers=0, progress=False)
    assert z.table["arguments.hidden"].to_pylist() == ["[3]", "[4,3]"]
    assert [m.trajectory().shape[0] for m in z] == [1, 1]


USER_CODE = """
import torch
from torch import nn

class Sorted(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.layer = nn.Linear(64, size)
        self.head = nn.Linear(size, 10)

    def forward(self, x):
        return self.head(self.layer(x.flatten(1)).sort(-1).values)

def make(size=4):
    return Sorted(size)

def loss(outputs, targets):
    return nn.functional.multi_margin_loss(outputs, targets)

def failing(outputs, targets):
    if outputs.requires_grad:
        raise ZeroDivisionError("my own mistake")
    return loss(outputs, targets)

def unreduced(outputs, targets):
    return nn.functional.cross_entropy(outputs, targets, reduction="none")

def broken(size=4):
    raise RuntimeError(f"no GPU for size {size}")

def narrow(size=4):
    return nn.Linear(size, 10)

def wordy(size=4):
    print("a print must not disturb the builder")
    return make(size)

def deadly(outputs, targets):
    import os, signal
    if outputs.requires_grad:
        os.kill(os.getpid(), signal.SIGKILL)
    return loss(outputs, targets)
"""


@pytest.fixture
def user_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "my_nets.py").write_text(USER_CODE)
    monkeypatch.syspath_prepend(tmp_path / "code")
    # Another test's module of this name came from another folder.
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)


def user_spec(loss: str, factory: str = "make", members: int = 2) -> zoo.ZooSpec:
    mine = {"factory": f"my_nets:{factory}", "loss": f"my_nets:{loss}", "fixed": {"arguments.size": 3}}
    return zoo.ZooSpec.from_dict(
        {"data": SMALL, "recipes": [mine, "mlp"], "members": 2 * members, "epochs": 1, "keep": [0, 1], "shard_size": 2}
    )


@pytest.mark.usefixtures("user_code")
def test_ones_own_factory_and_loss(tmp_path: Path) -> None:
    # In a worker process: it must find the module, and survive what it prints.
    z = zoo.build(user_spec("loss", "wordy"), tmp_path / "zoo", workers=1, progress=False)
    mine = z.filter(family="my_nets:wordy")
    assert mine.table["loss"].to_pylist() == ["my_nets:loss"] * 2
    data, member = load(**SMALL), mine[0]
    with torch.no_grad():
        value = torch.nn.functional.multi_margin_loss(member.module()(data.test_x), data.test_y)
    assert member.metrics["test_loss"][-1] == pytest.approx(value.item(), rel=1e-6)
    assert member.graph().topology.num_parameters == len(member.flat())


@pytest.mark.usefixtures("user_code")
def test_a_failing_network_is_named_and_costs_no_other_shard(tmp_path: Path) -> None:
    with pytest.raises(zoo.BuildError, match="1 of 2 shards") as failure:
        zoo.build(user_spec("failing"), tmp_path / "zoo", workers=0, progress=False)
    assert "ZeroDivisionError: my own mistake" in str(failure.value)
    assert "my_nets.py" in str(failure.value)
    partial = zoo.open(tmp_path / "zoo")
    assert partial.table["family"].to_pylist() == ["mlp"] * 2
    assert zoo.info(tmp_path / "zoo")["complete"] is False
    assert zoo.verify(tmp_path / "zoo") == []


@pytest.mark.usefixtures("user_code")
def test_a_shard_that_kills_its_worker_three_times_is_named(tmp_path: Path) -> None:
    told = r"shard 0: its worker process died 3 times \(the last: killed by SIGKILL: memory ran out"
    with pytest.raises(zoo.BuildError, match=told):
        zoo.build(user_spec("deadly"), tmp_path / "zoo", workers=1, progress=False)
    assert zoo.open(tmp_path / "zoo").table["family"].to_pylist() == ["mlp"] * 2


@pytest.mark.usefixtures("user_code")
@pytest.mark.parametrize(
    ("loss", "factory", "told"),
    [
        ("loss", "broken", "recipe my_nets:broken: RuntimeError: no GPU for size 3"),
        ("loss", "narrow", r"recipe my_nets:narrow.* does not take inputs of shape \[1, 8, 8\]"),
        (
            "unreduced",
            "make",
            r"recipe my_nets:make.*'my_nets:unreduced' has to return a scalar tensor, got shape \[32",
        ),
        ("gone", "make", "the module 'my_nets' has no 'gone'"),
    ],
)
def test_a_mistake_at_the_beginning_leaves_the_folder_free(
    small_spec: MakeSpec, tmp_path: Path, loss: str, factory: str, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        zoo.build(user_spec(loss, factory), tmp_path / "zoo", workers=0, progress=False)
    assert [path.name for path in (tmp_path / "zoo").iterdir()] == [".lock"]
    assert len(zoo.build(small_spec(members=2), tmp_path / "zoo", workers=0, progress=False)) == 2


@pytest.mark.usefixtures("user_code")
def test_a_zoo_without_a_trained_network_takes_a_corrected_spec(tmp_path: Path) -> None:
    mine = {"factory": "my_nets:make", "loss": "my_nets:failing"}
    content = {"data": SMALL, "recipes": [mine], "members": 1, "epochs": 1}
    with pytest.raises(zoo.BuildError, match="my own mistake"):
        zoo.build(content, tmp_path / "zoo", workers=0, progress=False)
    corrected = content | {"recipes": [mine | {"loss": "my_nets:loss"}]}
    z = zoo.build(corrected, tmp_path / "zoo", workers=0, progress=False)
    assert z.table["loss"].to_pylist() == ["my_nets:loss"]
    assert zoo.verify(z.root) == []


def test_a_graph_that_contradicts_its_network_is_stored_as_untraceable(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    recipe = '{"arguments":{"hidden":[3],"inputs":4,"outputs":2},"factory":"mlp"}'
    (row,) = trace_recipes([recipe]).values()
    assert "topology" in row
    for worst in (0.25, float("nan")):
        monkeypatch.setattr("graphs.certify", lambda *_, worst=worst, **__: SimpleNamespace(max_error=worst))
        (row,) = trace_recipes([recipe]).values()
        assert f"changes the outputs by {worst} of their size" in row["untraceable"]

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no float64")

    monkeypatch.setattr("graphs.certify", fail)
    (row,) = trace_recipes([recipe]).values()
    assert "cannot be checked against the network: no float64" in row["untraceable"]
