"""From a spec to networks and shards."""

import itertools
from typing import Any

import pytest

from zoo.distributions import draw
from zoo.planning import plan
from zoo.plans import Facts
from zoo.seeds import member_seed
from zoo.spec import ZooSpec

DATA = {"name": "d", "fingerprint": "f", "input_shape": [1, 8, 8], "num_classes": 10, "train_size": 5}
MLP = ["inputs", "hidden", "outputs", "activation", "dropout"]
CNN = ["input_shape", "channels", "kernel", "outputs", "activation"]
SIREN = ["inputs", "hidden", "outputs", "w0"]
FACTS = Facts(DATA, {"mlp": MLP, "cnn": CNN, "siren": SIREN, "mine:net": ["size", "dropout"], "mine:any": None})


def planned(facts: Facts = FACTS, **fields: Any) -> Any:
    return plan(ZooSpec.from_dict({"data": "digits", "recipes": ["mlp"], "members": 4} | fields), facts)


def test_members_have_their_own_seed_and_the_sizes_of_the_data() -> None:
    members = planned(random={"width": {"int": [3, 9]}}, fixed={"depth": 3}).members
    assert len({m.settings["seed"] for m in members}) == 4
    for member in members:
        assert member.recipe["arguments"]["hidden"] == [member.varied["width"]] * 3
        assert (member.recipe["arguments"]["inputs"], member.recipe["arguments"]["outputs"]) == (64, 10)


def test_a_hyper_parameter_more_leaves_the_draws_of_the_others() -> None:
    few = planned(random={"lr": {"loguniform": [1e-4, 1]}}).members
    more = planned(random={"lr": {"loguniform": [1e-4, 1]}, "activation": ["relu", "tanh"]}).members
    assert [m.settings["lr"] for m in few] == [m.settings["lr"] for m in more]
    assert [m.settings["seed"] for m in few] == [m.settings["seed"] for m in more]


def test_a_grid_gives_each_cell_repeats_times() -> None:
    members = planned(members=None, grid={"lr": [0.1, 0.2], "seed": [7, 8]}).members
    assert [(m.settings["lr"], m.settings["seed"]) for m in members] == [(0.1, 7), (0.1, 8), (0.2, 7), (0.2, 8)]
    members = planned(members=None, grid={"lr": [0.1, 0.2]}, repeats=2).members
    assert [m.settings["lr"] for m in members] == [0.1, 0.1, 0.2, 0.2]
    assert len({m.id for m in members}) == 4


def test_recipes_share_the_members_and_override_the_spec() -> None:
    members = planned(recipes=["mlp", {"factory": "cnn", "fixed": {"lr": 0.5}}], members=5, fixed={"lr": 0.1}).members
    assert [(m.recipe["factory"], m.settings["lr"]) for m in members] == [("mlp", 0.1)] * 3 + [("cnn", 0.5)] * 2


def test_shards_hold_one_architecture_and_every_member_once() -> None:
    made = planned(members=40, random={"width": [2, 3], "activation": ["relu", "tanh"]}, shard_size=6)
    assert sorted(i for shard in made.shards for i in shard.members) == list(range(40))
    for number, shard in enumerate(made.shards):
        assert shard.index == number
        assert 1 <= len(shard.members) <= 6
        assert {made.members[i].architecture for i in shard.members} == {shard.architecture}
    # Activations share a shard: a trainer sets them for each network.
    assert len({shard.architecture for shard in made.shards}) == 2


PARK = {"space": "cnn", "architectures": 3}
PARK_FACTS = Facts(DATA, {**FACTS.parameters, "cnn": [*CNN, "residual", "dropout"]})


def test_a_space_is_so_many_architectures_that_share_its_networks() -> None:
    members = planned(PARK_FACTS, recipes=["mlp", PARK], members=14, random={"lr": [0.1, 0.2]}, seed=5).members
    assert [m.recipe["factory"] for m in members] == ["mlp"] * 7 + ["cnn"] * 7
    park = [m.architecture for m in members[7:]]
    assert [park.count(name) for name in dict.fromkeys(park)] == [3, 2, 2]
    assert {tuple(m.recipe["arguments"]["input_shape"]) for m in members[7:]} == {(1, 8, 8)}
    assert {m.recipe["arguments"]["outputs"] for m in members[7:]} == {10}
    other = planned(PARK_FACTS, recipes=["mlp", PARK], members=14, seed=6).members
    assert not {m.architecture for m in other[7:]} & set(park)


def test_more_architectures_leave_the_first_as_they_were() -> None:
    few = planned(PARK_FACTS, recipes=[PARK], members=3).members
    more = planned(PARK_FACTS, recipes=[PARK | {"architectures": 8}], members=8).members
    assert [m.architecture for m in more[:3]] == [m.architecture for m in few]


def test_two_entries_of_one_space_draw_different_architectures() -> None:
    assert len(planned(PARK_FACTS, recipes=[PARK, PARK], members=6).architectures) == 6


def test_a_grid_is_built_for_every_architecture() -> None:
    spec = {"recipes": [PARK], "members": None, "grid": {"lr": [0.1, 0.2]}, "repeats": 2}
    members = planned(PARK_FACTS, **spec).members
    assert len(members) == 12 == ZooSpec.from_dict({"data": "digits", **spec}).count
    assert [m.settings["lr"] for m in members] == [0.1, 0.1, 0.2, 0.2] * 3


def test_a_plan_is_the_same_every_time_and_its_ids_do_not_depend_on_what_is_kept() -> None:
    one, two = planned(random={"lr": [0.1, 0.2]}), planned(random={"lr": [0.1, 0.2]}, keep=[0, 10])
    assert [m.id for m in one.members] == [m.id for m in two.members]
    other = planned(Facts({**DATA, "fingerprint": "g"}, FACTS.parameters), random={"lr": [0.1, 0.2]})
    assert not {m.id for m in one.members} & {m.id for m in other.members}


def test_image_networks_take_one_image_after_another() -> None:
    members = planned(recipes=["siren"], members=7).members
    assert [m.settings["image"] for m in members] == [0, 1, 2, 3, 4, 0, 1]
    assert members[0].recipe["arguments"] == {"inputs": 2, "outputs": 1}


def test_a_users_factory_gets_what_the_spec_says_and_no_more() -> None:
    member = planned(
        recipes=[{"factory": "mine:net", "random": {"arguments.size": [3]}, "fixed": {"dropout": 0.1}}]
    ).members[0]
    assert member.full_recipe == {
        "factory": "mine:net",
        "arguments": {"size": 3, "dropout": 0.1},
        "input_shape": [1, 8, 8],
    }
    assert planned(recipes=["mine:any"], fixed={"width": 5}).members[0].recipe["arguments"] == {"width": 5}


def test_no_dropout_suits_a_recipe_without_it() -> None:
    assert planned(recipes=["cnn"], fixed={"dropout": 0}).members[0].settings["dropout"] is None


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"recipes": ["cnn"], "random": {"dropout": [0.5]}},
            "recipe cnn has no dropout, but the spec sets dropout 0.5",
        ),
        ({"fixed": {"kernel": 3}}, "recipe mlp has no kernel.*it takes inputs, hidden"),
        ({"recipes": ["siren"], "fixed": {"activation": "relu"}}, "recipe siren has no activation"),
        ({"fixed": {"arguments.hiden": [3]}}, r"recipe mlp has no hiden, but the spec sets hiden \[3\]"),
        (
            {"recipes": [{"factory": "mlp", "arguments": {"hidden": [3]}}], "fixed": {"width": 3}},
            "contradicts its argument hidden",
        ),
        ({"fixed": {"seed": 3}}, "4 are the same, seed 3 included"),
        ({"recipes": [{"space": "gpt", "architectures": 1}]}, r"space gpt: expected context, .* got \[1, 8, 8\]"),
        ({"recipes": ["siren"], "members": 1, "fixed": {"image": 5}}, "image: expected a number below 5.*got 5"),
    ],
)
def test_mistakes_are_told_with_the_value(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        planned(**fields)


def test_draws_cover_their_range_and_stay_in_it() -> None:
    widths = {draw({"int": [2, 5]}, 0, i, "width") for i in range(200)}
    assert widths == {2, 3, 4, 5}
    rates = [draw({"loguniform": [1e-4, 1e-2]}, 0, i, "lr") for i in range(400)]
    assert min(rates) >= 1e-4
    assert max(rates) <= 1e-2
    # Half of them below the geometric mean.
    assert 150 < sum(rate < 1e-3 for rate in rates) < 250
    # A zoo's networks follow from these values for ever.
    assert draw({"uniform": [0, 1]}, 1, 2, "lr") == 0.757954


def test_a_million_networks_have_a_million_seeds_that_look_random() -> None:
    seeds = [member_seed(3, index) for index in range(1_000_000)]
    assert len(set(seeds)) == 1_000_000
    assert 0 <= min(seeds) < 10_000 < 2**31 - 10_000 < max(seeds) < 2**31
    assert abs(sum(seeds) / len(seeds) / 2**30 - 1) < 0.01
    assert len({b - a for a, b in itertools.pairwise(seeds)}) > 900
    assert not {member_seed(4, index) for index in range(100)} & set(seeds[:100])
    with pytest.raises(ValueError, match="got network number 2147483648"):
        member_seed(0, 2**31)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fixed": {"target_psnr": 30}}, "target_psnr 30.0 is for image networks"),
        ({"recipes": ["siren"], "random": {"label_noise": [0.0, 0.5]}}, "are for classifiers, got 0.5 and None"),
        ({"recipes": ["siren"], "fixed": {"poison_fraction": 0}}, "are for classifiers, got 0.0 and 0.0"),
        ({"grid": {"poison_fraction": [0, 0.1]}, "fixed": {"target_class": 10}}, "a class below 10, .* got 10"),
        ({"descendants": [{"grid": {"target_psnr": [30]}}]}, "target_psnr 30.0 is for image networks"),
    ],
)
def test_hyper_parameters_of_another_kind_of_network(fields: dict[str, Any], message: str) -> None:
    members = {"members": None} if "grid" in fields else {}
    with pytest.raises(ValueError, match=message):
        planned(**(fields | members))
