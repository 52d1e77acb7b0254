"""scripts/specs/sparse_twins.yaml: every twin is as sparse as it says, knows its parent and has not forgotten."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import zoo
from zoo.spec import ZooSpec

SPEC = Path(__file__).parents[3] / "scripts" / "specs" / "sparse_twins.yaml"


@pytest.fixture(scope="module")
def twins(tmp_path_factory) -> zoo.Zoo:
    spec = replace(ZooSpec.from_yaml(SPEC), members=2)
    assert spec.count == 8
    return zoo.build(spec, tmp_path_factory.mktemp("twins"), workers=0, progress=False)


def test_every_twin_is_as_sparse_as_it_says_in_every_state(twins):
    for member in twins:
        for step in range(3):
            weights = [v for v in member.state_dict(step).values() if v.ndim >= 2]
            count = sum(v.numel() for v in weights)
            zeros = sum(int((v == 0).sum()) for v in weights)
            assert zeros == round(member.row["sparsity"] * count), (member, step)


def test_every_network_has_a_twin_of_each_sparsity(twins):
    parents = [m.id for m in twins if m.parent is None]
    assert len(parents) == 2
    assert Counter((m.row["parent"], m.row["sparsity"]) for m in twins if m.parent) == {
        (parent, sparsity): 1 for parent in parents for sparsity in (0.5, 0.7, 0.9)
    }


def test_half_the_weights_do_what_all_did(twins):
    for member in twins:
        if member.row["sparsity"] == 0.5:
            own, before = (m.metrics["test_accuracy"][-1] for m in (member, member.parent))
            assert own > before - 0.05 > 0.4
