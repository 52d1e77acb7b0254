"""The numbers behind the report page: components, bands, norms, statistics, groups, duplicates, what is drawn."""

from collections.abc import Callable

import numpy as np
import pytest

import zoo
from zoo.reporting.bands import QUANTILES, quantile_bands
from zoo.reporting.features import Feature
from zoo.reporting.grouping import Grouping, explained, group_by
from zoo.reporting.plots import coordinates
from zoo.reporting.plots.distributions import bin_edges, counted
from zoo.reporting.plots.duplicates import find_duplicates
from zoo.reporting.plots.norms import read_norms, whole_norms
from zoo.reporting.plots.projections import usual
from zoo.reporting.projecting import principal_components, standardised
from zoo.reporting.scores import choose_score
from zoo.reporting.survey import Survey
from zoo.reporting.weights import architectures, layer_statistics

MakeSpec = Callable[..., zoo.ZooSpec]


@pytest.mark.parametrize(("rows", "columns"), [(30, 50), (3, 7), (40, 5)])
def test_components_are_those_of_an_svd_of_the_whole_matrix(rows: int, columns: int) -> None:
    matrix = np.random.default_rng(0).normal(size=(rows, columns)) * np.arange(1, columns + 1) + 5
    u, s, _ = np.linalg.svd(matrix - matrix.mean(0), full_matrices=False)
    found = principal_components(np.split(matrix, [1, columns // 2], axis=1))
    np.testing.assert_allclose(found.shares, s[:2] ** 2 / np.square(s).sum(), rtol=1e-9)
    np.testing.assert_allclose(np.abs(found.scores), np.abs(u[:, :2] * s[:2]), atol=1e-8)


def test_equal_rows_have_no_components() -> None:
    found = principal_components([np.ones((4, 3))])
    assert found.shares.tolist() == [0, 0]
    assert not found.scores.any()


def test_bands_are_quantiles_of_the_finite_values_at_each_epoch() -> None:
    curves = np.random.default_rng(1).exponential(size=(50, 3))
    curves[:10, 2] = np.nan
    curves[10, 2] = np.inf
    mean, quantiles = quantile_bands(curves)
    np.testing.assert_allclose(quantiles[:, 2], np.quantile(curves[11:, 2], QUANTILES))
    np.testing.assert_allclose(mean, [curves[:, 0].mean(), curves[:, 1].mean(), curves[11:, 2].mean()])
    geometric, _ = quantile_bands(curves, logarithmic=True)
    np.testing.assert_allclose(geometric[0], np.exp(np.log(curves[:, 0]).mean()))


def test_an_epoch_without_values_has_no_band() -> None:
    mean, quantiles = quantile_bands(np.array([[1.0, np.nan]]))
    assert mean[0] == 1
    assert np.isnan(mean[1])
    assert np.isnan(quantiles[:, 1]).all()


def test_every_finite_value_is_counted_once() -> None:
    values = np.array([0.1, 0.1, 0.5, np.nan, 0.9, 0.9])
    groups = group_by(Feature("split", np.array(["a", "b", "a", "a", "b", "b"])))
    edges = bin_edges(values)
    assert [counted(groups, n, values, edges).sum() for n in range(2)] == [2, 3]
    assert counted(groups, 1, values, edges)[-1] == 2
    assert bin_edges(np.array([0.3])).size > 1


def test_groups_are_values_or_quartiles_and_none_is_one_of_its_own() -> None:
    few = group_by(Feature("width", np.array([8.0, 4.0, np.nan, 8.0])))
    assert few.labels == ("4", "8", "none")
    assert few.members.tolist() == [1, 0, 2, 1]
    many = group_by(Feature("lr", np.append(np.arange(100.0), np.nan)))
    assert len(many.labels) == 5
    assert np.bincount(many.members).tolist() == [25, 25, 25, 25, 1]
    rare = group_by(Feature("activation", np.array([f"a{n}" for n in range(30)] + ["a0"])))
    assert rare.labels[-1] == "others"
    assert len(rare.labels) == 10
    assert rare.members[0] == rare.members[30] != rare.members[29]


def test_the_share_of_a_grouping_is_that_of_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(2)
    groups = group_by(Feature("init", rng.choice(["a", "b", "c"], 60)))
    values = rng.normal(size=60) + groups.members
    within = sum(np.square(own - own.mean()).sum() for own in (values[groups.members == n] for n in range(3)))
    share = 1 - within / np.square(values - values.mean()).sum()
    lost = np.append(values, np.nan)
    more = Grouping("init", "init", groups.labels, np.append(groups.members, 0))
    np.testing.assert_allclose([explained(groups, values), explained(more, lost)], share)
    assert explained(groups, np.full(60, np.nan)) == 0


@pytest.mark.parametrize(
    ("names", "score"),
    [
        (["test_accuracy", "train_accuracy", "train_loss"], "test_accuracy"),
        (["train_accuracy", "train_loss"], "train_accuracy"),
        (["loss", "psnr"], "psnr"),
        (["train_loss"], "train_loss"),
        (["perplexity"], "perplexity"),
    ],
)
def test_the_score_is_the_best_known_metric(names: list[str], score: str) -> None:
    found = choose_score(names)
    assert found is not None
    assert found.name == score
    assert found.higher_is_better == (not score.endswith("loss"))


def test_no_metrics_no_score() -> None:
    assert choose_score([]) is None


def test_curves_and_scores_are_those_of_the_table(small_zoo: zoo.Zoo) -> None:
    survey = Survey(small_zoo)
    rows = small_zoo.table.to_pylist()
    assert survey.epochs.tolist() == [0, 2]
    np.testing.assert_array_equal(survey.curves("test_loss"), [row["test_loss"] for row in rows])
    np.testing.assert_array_equal(survey.final, [row["test_accuracy"][-1] for row in rows])
    assert {f.name for f in survey.features} == {"activation", "lr", "dropout", "width"}


def test_weights_norms_and_statistics_are_those_of_the_networks(small_zoo: zoo.Zoo) -> None:
    survey = Survey(small_zoo)
    whole = whole_norms(survey, list(read_norms(survey)))
    for architecture in architectures(survey):
        rows = architecture.rows
        weights = np.concatenate(list(architecture.columns(rows)), 1)
        flats = [small_zoo[row].flat().double().numpy() for row in rows.tolist()]
        np.testing.assert_array_equal(weights, flats)
        first = small_zoo[int(rows[0])]
        np.testing.assert_allclose(whole[rows[0]], first.trajectory().double().norm(dim=1).numpy(), rtol=1e-6)
        last = list(first.state_dict().values())[-1].double().numpy()
        told = [last.mean(), last.std(), *np.quantile(last, [0, 0.25, 0.5, 0.75, 1])]
        np.testing.assert_allclose(layer_statistics(architecture, rows)[0, -7:], told, rtol=1e-9)


def test_buffers_are_no_weights(small_spec: MakeSpec, tmp_path) -> None:
    spec = small_spec(
        recipes=[{"factory": "resnet", "arguments": {"widths": [4], "blocks": [1]}}], members=2, random={}
    )
    (architecture,) = architectures(Survey(zoo.build(spec, tmp_path / "zoo", workers=0, progress=False)))
    assert not [entry.name for entry in architecture.entries if "running" in entry.name]
    assert architecture.size < architecture.store.shard(0).layout.num_parameters


def test_statistics_that_do_not_vary_are_left_at_0() -> None:
    scaled = standardised(np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert scaled.tolist() == [[-1, 0], [1, 0]]


def test_far_networks_are_not_drawn_unless_too_few_are_left() -> None:
    assert usual(np.array([1.0, 1.1, 0.9, 50.0])).tolist() == [True, True, True, False]
    assert usual(np.array([1.0, 1.0, 50.0])).all()


def test_the_same_networks_are_chosen_each_time_and_no_more_than_the_limit(small_zoo: zoo.Zoo) -> None:
    rows = np.arange(12)
    chosen = Survey(small_zoo, limit=5, seed=1).chosen(rows)
    assert len(set(chosen.tolist())) == 5
    np.testing.assert_array_equal(chosen, Survey(small_zoo, limit=5, seed=1).chosen(rows))
    assert chosen.tolist() != Survey(small_zoo, limit=5, seed=2).chosen(rows).tolist()
    assert Survey(small_zoo, limit=12).chosen(rows) is rows


def test_duplicates_are_found_by_their_final_weights(small_spec: MakeSpec, tmp_path) -> None:
    # Before training, networks of one seed differ where their initial weights do.
    grid = {"lr": [1e-3, 1e-2], "init_scale": [1.0, 2.0]}
    spec = small_spec(recipes=["mlp"], members=None, random={}, fixed={"seed": 3}, grid=grid, keep=[0])
    z = zoo.build(spec, tmp_path / "zoo", workers=0, progress=False)
    twins = {scale: sorted(m.id for m in z if m.row["init_scale"] == scale) for scale in (1.0, 2.0)}
    assert sorted(map(sorted, find_duplicates(Survey(z)))) == sorted(twins.values())


def test_lines_pass_each_axis_at_their_setting(small_zoo: zoo.Zoo) -> None:
    figure = coordinates.section(Survey(small_zoo)).plots[0].figure
    rows, axes = small_zoo.table.to_pylist(), 5
    lines = np.concatenate([np.reshape(trace.y, (-1, axes + 1)) for trace in figure.data])
    assert lines.shape == (12, axes + 1)
    assert np.isnan(lines[:, -1]).all()
    lr = np.log([row["lr"] for row in rows])
    score = np.array([row["test_accuracy"][-1] for row in rows])
    names = [note.text for note in figure.layout.annotations[:axes]]
    assert names == ["<b>activation</b>", "<b>lr</b>", "<b>dropout</b>", "<b>width</b>", "<b>test accuracy</b>"]
    for column, values in ((1, lr), (4, score)):
        heights = (values - values.min()) / (values.max() - values.min())
        np.testing.assert_allclose(np.sort(lines[:, column]), np.sort(heights), atol=1e-6)
    upper = sum(row["activation"] == "tanh" for row in rows)
    assert (lines[:, 0] > 0.5).sum() == upper


def test_networks_of_other_seeds_are_no_duplicates(small_zoo: zoo.Zoo) -> None:
    assert find_duplicates(Survey(small_zoo)) == []
