"""scripts/specs/finetune_tree.yaml: children lie nearer to their parents than networks of other trees do."""

from dataclasses import replace
from pathlib import Path

import pytest

import zoo
from zoo.spec import ZooSpec

SPEC = Path(__file__).parents[3] / "scripts" / "specs" / "finetune_tree.yaml"


@pytest.fixture(scope="module")
def trees(tmp_path_factory) -> zoo.Zoo:
    spec = ZooSpec.from_yaml(SPEC)
    assert spec.count == 30 * (1 + 3 + 6)
    first, second = spec.descendants
    spec = replace(spec, members=2, descendants=(replace(first, children=1), second))
    return zoo.build(spec, tmp_path_factory.mktemp("trees"), workers=0, progress=False)


def test_the_depth_of_the_trees(trees):
    assert [m.row["generation"] for m in trees] == [0, 0, 1, 1, 2, 2, 2, 2]
    for member in (m for m in trees if m.row["generation"] == 2):
        assert member.parent.parent.id == member.row["root"]
        assert member.parent.parent.parent is None


def test_children_differ_from_their_parents_less_than_roots_from_each_other(trees):
    apart = (trees[0].flat() - trees[1].flat()).norm()
    for member in trees:
        if member.parent is not None:
            assert 0 < (member.flat() - member.parent.flat()).norm() < apart / 2
            assert member.metrics["test_accuracy"][-1] > 0.6
