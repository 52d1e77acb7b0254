"""A property of an architecture from its embedding: ridge or support vector regression, chosen by cross-validation."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from graphs.durable import write_durably

# The scale on which a property is learned, and back. A logit keeps clear of 0 and 1 by half a sample of some hundred.
MARGIN = 2e-3
SCALES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "plain": (lambda value: value, lambda value: value),
    "log": (torch.log, torch.exp),
    "logit": (lambda value: torch.logit(value.clamp(MARGIN, 1 - MARGIN)), torch.sigmoid),
}
KERNELS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "linear": lambda x, support, gamma: x @ support.T,
    "rbf": lambda x, support, gamma: torch.exp(-gamma * torch.cdist(x, support).square()),
}
FIELDS = ("support", "dual", "centre", "spread")
FOLDS = 5


@dataclass(frozen=True)
class PropertyModel:
    """value = scale^-1(intercept + sum_s dual_s k((x - centre) / spread, support_s)).

    Args:
        kernel: one of ``KERNELS``; a ridge regression is the linear one with its weights as the only support.
        gamma: width of the rbf kernel.
        intercept: what is added.
        scale: one of ``SCALES``.
        support: ``[S, F]``. dual: ``[S]``.
        centre, spread: ``[F]``, of the embeddings that it was fitted on.

    All in float64.
    """

    kernel: str
    gamma: float
    intercept: float
    scale: str
    support: Tensor
    dual: Tensor
    centre: Tensor
    spread: Tensor

    def predict(self, embeddings: Tensor) -> Tensor:
        """The property of each architecture, in its own unit. Shapes: ``[A, F]`` -> ``[A]`` float64.

        Raises ValueError for embeddings of another width.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != len(self.centre):
            raise ValueError(
                f"expected embeddings [A, {len(self.centre)}], as fitted, got {list(embeddings.shape)}; "
                "embed with the same hypernetwork and the same statistics"
            )
        x = (embeddings.double() - self.centre) / self.spread
        fitted = KERNELS[self.kernel](x, self.support, self.gamma) @ self.dual + self.intercept
        return SCALES[self.scale][1](fitted)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all."""
        facts = {name: getattr(self, name) for name in ("kernel", "gamma", "intercept", "scale")}
        tensors = {name: getattr(self, name).contiguous() for name in FIELDS}
        write_durably(Path(path), save(tensors, metadata={"property": json.dumps(facts)}))

    @classmethod
    def load(cls, path: str | Path) -> PropertyModel:
        """What ``save`` wrote; raises ValueError for another file."""
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads((file.metadata() or {})["property"])
                return cls(**facts, **{name: file.get_tensor(name) for name in FIELDS})
        except (SafetensorError, OSError, KeyError) as error:
            raise ValueError(
                f"{path} is no saved property model ({error}); give a file of PropertyModel.save"
            ) from error


def fit_property(embeddings: Tensor, values: Tensor, scale: str = "plain", seed: int = 0) -> PropertyModel:
    """The regression that predicts best in five-fold cross-validation on these architectures alone, fitted on all.

    Args:
        embeddings: ``[A, F]``.
        values: ``[A]``, the property in its own unit.
        scale: one of ``SCALES``: counts and times are learned as logarithms, accuracies as logits.
        seed: of the folds.

    Raises ValueError for an unknown scale, for fewer than ten architectures, and for values that are not finite.

    >>> x = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None]
    >>> model = fit_property(x, (3 * x[:, 0]).exp(), scale="log")
    >>> abs(model.predict(torch.tensor([[0.5]])).log().item() - 1.5) < 0.1
    True
    """
    y = _checked(embeddings, values, scale)
    centre, spread = embeddings.double().mean(0), embeddings.double().std(0, correction=0)
    # What is the same for all of them, up to rounding, tells nothing.
    spread = torch.where(spread > 1e-6 * (1 + centre.abs()), spread, torch.inf)
    x, mean, deviation = ((embeddings.double() - centre) / spread).numpy(), y.mean(), y.std(correction=0)
    deviation = deviation if deviation > 0 else torch.ones(())
    best = _search(x, ((y - mean) / deviation).numpy(), seed)
    kernel, gamma, support, dual, intercept = _exported(best)
    return PropertyModel(
        kernel=kernel, gamma=gamma, intercept=float(intercept * deviation + mean), scale=scale,
        support=support, dual=dual * deviation, centre=centre, spread=spread,
    )  # fmt: skip


def _checked(embeddings: Tensor, values: Tensor, scale: str) -> Tensor:
    """The values on their scale."""
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}; choose one of {', '.join(SCALES)}")
    if embeddings.ndim != 2 or values.shape != embeddings.shape[:1] or len(values) < 2 * FOLDS:
        raise ValueError(
            f"expected embeddings [A, F] and values [A] of {2 * FOLDS} architectures or more, got "
            f"{list(embeddings.shape)} and {list(values.shape)}"
        )
    y = SCALES[scale][0](values.double())
    if not (torch.isfinite(y).all() and torch.isfinite(embeddings).all()):
        raise ValueError(f"expected finite embeddings and values that are finite as {scale}; leave the others out")
    return y


def _search(x: np.ndarray, y: np.ndarray, seed: int) -> Any:
    """The best estimator of scikit-learn, fitted on everything."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.svm import SVR

    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    widths = {"gamma": (np.array([0.03, 0.1, 0.3, 1, 3]) / x.shape[1]).tolist(), "epsilon": [0.03, 0.1, 0.2]}
    searches = [
        GridSearchCV(Ridge(), {"alpha": np.logspace(-2, 4, 13).tolist()}, cv=folds),
        GridSearchCV(SVR(), {"C": [0.3, 1, 3, 10, 30, 100], **widths}, cv=folds),
    ]
    return max((search.fit(x, y) for search in searches), key=lambda search: search.best_score_).best_estimator_


def _exported(model: Any) -> tuple[str, float, Tensor, Tensor, float]:
    """Kernel, gamma, support, dual coefficients and intercept."""
    if hasattr(model, "coef_") and not hasattr(model, "dual_coef_"):
        return "linear", 0.0, torch.from_numpy(model.coef_)[None], torch.ones(1).double(), float(model.intercept_)
    dual = torch.from_numpy(model.dual_coef_[0])
    return "rbf", float(model.gamma), torch.from_numpy(model.support_vectors_), dual, float(model.intercept_[0])
