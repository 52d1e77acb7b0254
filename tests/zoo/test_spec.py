"""Specs: YAML round trip, digest, and what each mistake is told."""

from pathlib import Path
from typing import Any

import pytest

from graphs.families.activations import ACTIVATIONS as FAMILY_ACTIVATIONS
from zoo.hyperparameters import ACTIVATIONS, HYPERPARAMETERS
from zoo.population.settings import MemberSettings
from zoo.spec import ZooSpec

SPECS = sorted((Path(__file__).parents[2] / "scripts" / "specs").glob("*.yaml"))
BASE: dict[str, Any] = {"data": "digits", "recipes": ["mlp"], "members": 4}


def without(name: str) -> dict[str, Any]:
    return {k: v for k, v in BASE.items() if k != name}


def test_yaml_round_trip_keeps_the_spec_and_its_digest(tmp_path: Path) -> None:
    spec = ZooSpec.from_dict(BASE | {"random": {"lr": {"loguniform": ["1e-4", 1e-2]}, "init": ["normal", "default"]}})
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    again = ZooSpec.from_yaml(tmp_path / "spec.yaml")
    assert again == spec
    assert again.digest == spec.digest
    assert spec.random["lr"] == {"loguniform": [1e-4, 1e-2]}


def test_a_space_stands_where_a_factory_would_and_neither_writes_the_other_out() -> None:
    spec = ZooSpec.from_dict(BASE | {"recipes": ["mlp", {"space": "cnn", "architectures": 2}]})
    mlp, space = spec.to_dict()["recipes"]
    assert list(mlp) == ["factory", "arguments", "loss", "fixed", "grid", "random"]  # as before there were spaces
    assert (space["space"], space["architectures"], "factory" in space) == ("cnn", 2, False)
    assert ZooSpec.from_dict(spec.to_dict()) == spec


def test_digest_tells_content_not_spelling() -> None:
    spelled = BASE | {"data": {"source": "digits"}, "epochs": 10, "keep": [10], "fixed": {"lr": 1e-2}}
    assert ZooSpec.from_dict(BASE | {"fixed": {"lr": "0.01"}}).digest == ZooSpec.from_dict(spelled).digest
    assert ZooSpec.from_dict(BASE).digest != ZooSpec.from_dict(BASE | {"seed": 1}).digest


def test_digest_is_the_same_in_every_version() -> None:
    # A zoo on disk is recognised by it: a change here locks people out of the zoos they have.
    assert ZooSpec.from_dict(BASE).digest == "0e867a8fcaa7c51b4c8614a77501dce92af72c1c54b235dea37e11dad7a0770c"


@pytest.mark.parametrize(
    ("keep", "kept"), [(None, (7,)), ("every: 3", (0, 3, 6, 7)), ({"every": 7}, (0, 7)), ([7, 1], (1, 7))]
)
def test_keep(keep: Any, kept: tuple[int, ...]) -> None:
    assert ZooSpec.from_dict(BASE | {"epochs": 7, "keep": keep}).keep == kept


def test_grid_counts_cells_times_repeats_of_each_recipe() -> None:
    spec = ZooSpec.from_dict(
        without("members")
        | {"recipes": ["mlp", {"factory": "cnn", "grid": {"lr": [0.1, 0.2, 0.3]}}], "repeats": 5}
        | {"grid": {"lr": [0.1, 0.2], "activation": ["relu", "tanh"]}}
    )
    assert spec.count == 5 * (2 * 2 + 3 * 2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fixed": {"optimiser": "lion"}}, "sgd, adam, adamw, got 'lion'"),
        ({"random": {"activation": ["relu", "mish"]}}, "relu, leaky_relu, tanh.*got 'mish'"),
        ({"fixed": {"init": "lecun"}}, "default, normal.*got 'lecun'"),
        ({"fixed": {"lr": 0}}, "lr: expected a value > 0, got 0.0"),
        ({"fixed": {"lr": "fast"}}, "lr: expected float, got 'fast'"),
        ({"fixed": {"lr": float("nan")}}, "lr: expected a finite number, got nan"),
        ({"fixed": {"width": 2.5}}, "width: expected int, got 2.5"),
        ({"fixed": {"seed": True}}, "seed: expected int, got True"),
        ({"fixed": {"train_fraction": 1.5}}, "train_fraction: expected a value <= 1, got 1.5"),
        ({"random": {"train_fraction": {"uniform": [0, 1]}}}, "train_fraction: expected a value > 0, got 0.0"),
        ({"random": {"lr": {"normal": [0, 1]}}}, r"choice, uniform, loguniform, int\}, got \{'normal'"),
        ({"random": {"lr": {"uniform": [0.1]}}}, r"uniform expects \[lowest, highest\], got \[0.1\]"),
        ({"random": {"lr": {"uniform": [0.2, 0.1]}}}, "swap the two"),
        ({"random": {"weight_decay": {"loguniform": [0, 1]}}}, "bounds above 0, got"),
        ({"random": {"width": {"uniform": [4, 8]}}}, "width is a whole number; use int"),
        ({"random": {"lr": {"int": [0.5, 2]}}}, "int expects whole numbers"),
        ({"fixed": {"learning_rate": 1}}, "unknown hyper-parameter 'learning_rate'; expected one of activation, init"),
        ({"fixed": {"lr": 0.1}, "random": {"lr": [0.1]}}, "lr stands in both fixed and random"),
        ({"grid": {"lr": [0.1]}}, "members: 4 contradicts a grid"),
        ({"members": None}, "members: expected a count"),
        ({"members": 0}, "members: expected a whole number >= 1, got 0"),
        ({"members": None, "grid": {"lr": 0.1}}, "grid lr: expected a list of values, got 0.1; move it to fixed"),
        ({"members": None, "grid": {"lr": [0.1, 0.1]}}, "expected different values"),
        ({"members": None, "grid": {"lr": [0.1]}, "random": {"lr": [1]}}, "both grid and random"),
        ({"repeats": 2}, "repeats: 2 is for a grid"),
        ({"keep": [0, 11]}, "epoch 11 is never reached, training ends after 10"),
        ({"keep": {"last": 2}}, "list of epochs or {every: n}"),
        ({"keep": "every:x"}, "expected every:N with a whole number N >= 1, got 'every:x'"),
        ({"epochs": 0}, "epochs: expected a whole number >= 1, got 0"),
        ({"trainer": "fast"}, "auto, reference, stacked, native, got 'fast'"),
        ({"recipes": []}, "at least one recipe"),
        ({"recipes": ["transformer"]}, "expected one of mlp, siren.*module:factory, got 'transformer'"),
        ({"recipes": [{"space": "conv", "architectures": 2}]}, "space: expected one of mlp, cnn, .* got 'conv'"),
        ({"recipes": [{"space": "cnn"}]}, "recipe: expected the field 'architectures', got space"),
        ({"recipes": [{"space": "cnn", "architectures": 0}]}, "whole number >= 1, got 0"),
        ({"recipes": [{"space": "cnn", "architectures": 9}]}, "each of the 9 architectures .* share of 4 is 4"),
        (
            {"recipes": [{"space": "cnn", "architectures": 2, "factory": "mlp"}]},
            r"a factory or a space, got both \(mlp and cnn\)",
        ),
        ({"recipes": [{"factory": "mlp", "architectures": 2}]}, "architectures: 2 is for a space, one of mlp, cnn"),
        (
            {"recipes": [{"space": "cnn", "architectures": 2, "arguments": {"kernel": 3}}]},
            "arguments are what a space draws, got {'kernel': 3}",
        ),
        (
            {"recipes": ["mlp", {"space": "cnn", "architectures": 2}], "random": {"activation": ["relu"]}},
            "the space draws the architecture, but the spec sets activation",
        ),
        ({"recipes": [{"factory": "mlp", "loss": "mse"}]}, "expected 'module:function'.*got 'mse'"),
        ({"recipes": [{"factory": "mlp", "width": 3}]}, "recipe: unknown field 'width'; expected one of factory"),
        (
            {"recipes": [{"factory": "mlp", "arguments": {"activation": "relu"}}], "fixed": {"activation": "relu"}},
            "keep one",
        ),
        ({"fixed": {"momentum": 0.5, "optimiser": "adam"}}, "momentum is for sgd, got the optimiser adam"),
        ({"members_": 3}, "spec: unknown field 'members_'; expected one of data, recipes"),
        ({"data": 7}, "data: expected a source"),
    ],
)
def test_mistakes_are_told_with_the_value(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ZooSpec.from_dict(BASE | change)


def test_a_file_that_is_no_spec_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere.yaml cannot be read"):
        ZooSpec.from_yaml(tmp_path / "nowhere.yaml")
    (tmp_path / "bad.yaml").write_text("data: [")
    with pytest.raises(ValueError, match=r"bad.yaml is not YAML"):
        ZooSpec.from_yaml(tmp_path / "bad.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(ValueError, match=r"empty.yaml: spec: expected name: value pairs, got None"):
        ZooSpec.from_yaml(tmp_path / "empty.yaml")


def test_activations_are_those_of_the_families() -> None:
    assert set(ACTIVATIONS) == set(FAMILY_ACTIVATIONS)
    assert HYPERPARAMETERS["activation"].choices == ACTIVATIONS


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_sample_specs_are_sound(path: Path) -> None:
    assert ZooSpec.from_yaml(path).count > 0


def test_the_momentum_where_nothing_is_said_is_one_and_the_same() -> None:
    assert HYPERPARAMETERS["momentum"].default == MemberSettings(seed=0).momentum == 0.9
