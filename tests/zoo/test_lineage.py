"""Networks that start from others: who descends from whom, in every trainer, killed and resumed."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from trainers import TRAINERS

import zoo
from zoo.lineage import Generation, grown
from zoo.spec import ZooSpec

SPEC = ZooSpec(
    data={"source": "digits", "limit": 60},
    recipes=("mlp",),
    members=3,
    random={"lr": {"loguniform": [1e-3, 1e-2]}},
    epochs=2,
    keep=(0, 2),
    shard_size=2,
    descendants=[
        {"children": 2, "random": {"lr": {"loguniform": [1e-4, 1e-3]}}},
        {"grid": {"sparsity": [0.5, 0.9]}},
    ],
)


@pytest.fixture(scope="module", params=TRAINERS)
def family(request, tmp_path_factory) -> zoo.Zoo:
    return zoo.build(replace(SPEC, trainer=request.param), tmp_path_factory.mktemp("tree"), workers=0, progress=False)


def test_children_start_where_their_parents_ended(family):
    assert len(family) == SPEC.count == 3 + 6 + 12
    assert Counter(member.row["generation"] for member in family) == {0: 3, 1: 6, 2: 12}
    for member in family:
        if member.parent is None:
            continue
        start, end = member.flat(0), member.parent.flat(-1)
        kept = start != 0
        assert torch.equal(start[kept], end[kept])
        assert not torch.equal(member.flat(-1), start)
        assert member.row["root"] == (member.parent.row["root"] or member.parent.id)
    settings = {(m.row["parent"], m.row["sparsity"]) for m in family if m.row["generation"] == 2}
    assert len(settings) == 12
    assert len({m.row["seed"] for m in family}) == len({m.id for m in family}) == 21


def test_a_tree_lies_in_one_split_however_it_is_split(family):
    roots = {m.id: m.row["root"] or m.id for m in family}
    for fractions in ({"train": 0.7, "val": 0.1, "test": 0.2}, {"a": 0.5, "b": 0.5}):
        parts = {name: {roots[m.id] for m in family.split(name, fractions)} for name in fractions}
        assert sum(len(part) for part in parts.values()) == 3
    assert all(m.split == family.find(roots[m.id]).split for m in family)


def test_children_are_made_again_from_their_parents(family):
    if family[0].row["trainer"] == "stacked":
        pytest.skip("networks of the stacked trainer depend on their shard mates in the last bits")
    child = next(m for m in family if m.row["generation"] == 2)
    assert torch.equal(zoo.recreate(child), child.trajectory())
    with pytest.raises(ValueError, match="which its row does not hold"):
        zoo.recreate(child.row)


def test_a_killed_build_of_a_tree_goes_on_to_the_same_bytes(tmp_path):
    spec = replace(SPEC, members=6, epochs=30, keep=(30,), trainer="reference")
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    command = [sys.executable, "-m", "zoo", "build", str(tmp_path / "spec.yaml"), str(tmp_path / "killed"), "--quiet"]
    builder = subprocess.Popen([*command, "--workers", "1"])
    manifest = tmp_path / "killed" / "manifest.jsonl"
    while not manifest.exists() or manifest.read_text().count('"shard"') < 5:
        assert builder.poll() is None, "the build ended before it could be killed"
        time.sleep(0.02)
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    # A shard of the parents is lost as well: it is trained again, and its children stay what they are.
    (tmp_path / "killed" / "shards" / "shard-00000.safetensors").unlink()
    assert subprocess.run([*command, "--workers", "2"], check=False).returncode == 0
    zoo.build(spec, tmp_path / "calm", workers=0, progress=False)
    for name in ("table.arrow", *(f"shards/{path.name}" for path in (tmp_path / "calm" / "shards").iterdir())):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes(), name


def test_a_spec_without_descendants_has_the_ids_it_always_had(tmp_path: Path):
    plain = replace(SPEC, descendants=())
    first = zoo.build(plain, tmp_path / "plain", workers=0, progress=False)
    tree = zoo.build(SPEC, tmp_path / "tree", workers=0, progress=False)
    assert [m.id for m in first] == [m.id for m in tree][:3]
    assert ZooSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC
    assert plain.digest != SPEC.digest


@pytest.mark.parametrize(
    ("generation", "message"),
    [
        ({"children": 0}, "expected children >= 1, got 0"),
        ({"fixed": {"width": 8}}, "width is inherited with the weights"),
        ({"random": {"init_scale": {"uniform": [1, 2]}}}, "init_scale is inherited"),
        ({"fixed": {"arguments.hidden": [3]}}, "arguments.hidden is inherited"),
        ({"grid": {"sparsity": 0.5}}, "expected a list of values, got 0.5"),
        ({"offspring": 3}, "unknown field 'offspring'; expected one of children, fixed, grid, random"),
    ],
)
def test_what_a_generation_cannot_have(generation, message):
    with pytest.raises(ValueError, match=message):
        replace(SPEC, descendants=[generation])


def test_counts():
    assert grown(5, []) == 5
    assert grown(5, [Generation(children=2, grid={"sparsity": [0.5, 0.7]}), Generation()]) == 5 + 20 + 20
