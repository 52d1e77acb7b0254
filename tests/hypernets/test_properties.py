"""Regression of the properties of architectures on their embeddings."""

from pathlib import Path

import pytest
import torch
from scipy.stats import kendalltau
from torch import Tensor

from hypernets.ghn.properties import KERNELS, SCALES, PropertyModel, fit_property


def drawn(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))


LINEAR = torch.tensor([1.0, -2.0, 0.5, 0.0, 0.0, 0.3])
TRUE = {
    "linear": lambda x: x @ LINEAR,
    "curved": lambda x: x[:, 0].square() + x[:, 1].cos(),
}


@pytest.fixture(scope="module")
def fitted() -> dict[str, PropertyModel]:
    x = drawn(120)
    return {name: fit_property(x, value(x)) for name, value in TRUE.items()}


@pytest.mark.parametrize(("name", "kernel"), [("linear", "linear"), ("curved", "rbf")])
def test_what_depends_on_the_embedding_is_predicted_by_the_better_kernel(fitted: dict, name: str, kernel: str) -> None:
    x = drawn(200, seed=1)
    assert fitted[name].kernel == kernel
    assert kendalltau(fitted[name].predict(x), TRUE[name](x)).statistic > 0.6


def test_nothing_is_learned_from_values_dealt_out_at_random() -> None:
    x, test = drawn(120), drawn(200, seed=1)
    noise = torch.rand(320, generator=torch.Generator().manual_seed(2))
    predicted = fit_property(x, noise[:120]).predict(test)
    assert abs(kendalltau(predicted, noise[120:]).statistic) < 0.15
    assert predicted.std() < 0.5 * noise.std()


@pytest.mark.parametrize(("scale", "value"), [("log", 5e4), ("logit", 0.9), ("plain", -3.0)])
def test_predictions_come_in_the_unit_of_the_property(scale: str, value: float) -> None:
    x = drawn(40)
    back, forth = SCALES[scale][1], SCALES[scale][0](torch.tensor(value).double())
    model = fit_property(x, back(forth + 0.1 * x[:, 0].double()), scale)
    torch.testing.assert_close(model.predict(torch.zeros(1, 6)), torch.tensor([value]).double(), rtol=0.02, atol=0)


@pytest.mark.parametrize("name", list(TRUE))
def test_predictions_are_those_of_scikit_learn(fitted: dict, name: str) -> None:
    """The stored numbers by themselves give what the estimator gave that they come from."""
    from sklearn.linear_model import Ridge
    from sklearn.svm import SVR

    from hypernets.ghn.properties import _exported

    x, y = drawn(50).double().numpy(), TRUE[name](drawn(50)).double().numpy()
    model = (Ridge() if name == "linear" else SVR(gamma=0.2)).fit(x, y)
    kernel, gamma, support, dual, intercept = _exported(model)
    test = drawn(30, seed=3).double()
    found = KERNELS[kernel](test, support, gamma) @ dual + intercept
    torch.testing.assert_close(found, torch.from_numpy(model.predict(test.numpy())), rtol=1e-9, atol=1e-9)


def test_a_model_is_read_back_bit_for_bit(fitted: dict, tmp_path: Path) -> None:
    for name, model in fitted.items():
        model.save(tmp_path / f"{name}.safetensors")
        read = PropertyModel.load(tmp_path / f"{name}.safetensors")
        assert read.predict(drawn(9)).equal(model.predict(drawn(9)))


def test_a_feature_that_never_varied_is_ignored(fitted: dict) -> None:
    x = torch.cat([drawn(120), torch.full((120, 1), 0.1)], 1)
    model = fit_property(x, TRUE["linear"](x[:, :6]))
    x[:, 6] = 1e6
    torch.testing.assert_close(model.predict(x), fitted["linear"].predict(x[:, :6]))


def test_equal_values_are_predicted_as_they_are() -> None:
    predicted = fit_property(drawn(20), torch.full((20,), 3.0)).predict(drawn(5, seed=1))
    torch.testing.assert_close(predicted, torch.full((5,), 3.0).double())


@pytest.mark.parametrize(
    ("embeddings", "values", "scale", "message"),
    [
        ((20, 3), torch.ones(20), "root", "unknown scale 'root'; choose one of plain, log, logit"),
        ((20, 3), torch.ones(19), "plain", r"\[20, 3\] and \[19\]"),
        ((9, 3), torch.ones(9), "plain", "of 10 architectures or more"),
        ((20, 3), torch.zeros(20), "log", "finite as log"),
        ((20, 3), torch.full((20,), torch.nan), "plain", "finite"),
    ],
)
def test_what_cannot_be_fitted_is_refused(embeddings: tuple, values: Tensor, scale: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_property(torch.randn(embeddings), values, scale)


def test_embeddings_of_another_width_and_other_files_are_refused(fitted: dict, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\[A, 6\], as fitted, got \[2, 5\]"):
        fitted["linear"].predict(torch.zeros(2, 5))
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"no such thing")
    for path in (other, tmp_path / "absent.safetensors"):
        with pytest.raises(ValueError, match="no saved property model"):
            PropertyModel.load(path)
