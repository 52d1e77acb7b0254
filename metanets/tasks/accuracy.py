"""Predict the test accuracy of a network from its weights.

The loss is the binary cross-entropy between the sigmoid of the model's one output and the accuracy, as in
Zhou et al. 2023 (https://arxiv.org/abs/2302.14040) and Kofinas et al. 2024 (https://arxiv.org/abs/2403.12143).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from metanets.loading import Batch
from metanets.metrics import regression_metrics


class AccuracyTask:
    """Loss and figures of accuracy prediction.

    Models are modules whose ``model(graphs)`` gives one logit a network, or objects whose ``predict(list of graphs)``
    gives accuracies (StatNN).
    """

    # Over the few networks of a val split R2 is less noisy than tau.
    monitor = "r2"

    def require(self, targets: Sequence[float]) -> None:
        """A ValueError where a split with these targets has no R2, which chooses the weights that are kept."""
        if len(set(targets)) < 2:
            raise ValueError(
                f"the val split holds {len(targets)} states with {len(set(targets))} different accuracies, and R2, by "
                "which the best weights are chosen, needs 2 or more; use a larger zoo"
            )

    def step(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """``{"loss": cross-entropy}``, the mean over the batch."""
        return {"loss": binary_cross_entropy_with_logits(logits(model, batch).float(), batch.target)}

    def evaluate(self, model: Any, loader: Iterable[Batch]) -> dict[str, float]:
        """The figures of ``score`` over all batches of the loader."""
        return self.score(*self.predict(model, loader))

    def score(self, predicted: Tensor, true: Tensor, final: Tensor) -> dict[str, float]:
        """tau, r2 and mae over all states; ``final_...`` over the last state of each network alone; ``states``."""
        metrics = regression_metrics(predicted, true)
        metrics |= {f"final_{k}": value for k, value in regression_metrics(predicted[final], true[final]).items()}
        return {**metrics, "states": float(len(true))}

    def predict(self, model: Any, loader: Iterable[Batch]) -> tuple[Tensor, Tensor, Tensor]:
        """Predicted accuracies, true ones (targets), and which are final. Shapes: ``[samples]`` each, in order."""
        if not isinstance(model, nn.Module):
            rows = [(torch.as_tensor(model.predict(b.graphs.graphs)), b.target, b.final) for b in loader]
        else:
            rows = _forward(model, loader)
        if not rows:
            raise ValueError("the loader gave no batch to evaluate; the split of the zoo is empty: use a larger zoo")
        predicted, true, final = (torch.cat(column).cpu() for column in zip(*rows, strict=True))
        return predicted.double(), true.double(), final


def logits(model: nn.Module, batch: Batch) -> Tensor:
    """The model's one output a network. Shapes: ``[B]``."""
    out = model(batch.graphs)
    if out.shape not in ((len(batch.target), 1), (len(batch.target),)):
        raise ValueError(
            f"expected one output a network, shape [{len(batch.target)}, 1], got {list(out.shape)}; "
            "create the model with out=1"
        )
    return out.reshape(-1)


@torch.no_grad()
def _forward(model: nn.Module, loader: Iterable[Batch]) -> list[tuple[Tensor, Tensor, Tensor]]:
    training = model.training
    model.eval()
    rows = [(torch.sigmoid(logits(model, batch).double()), batch.target, batch.final) for batch in loader]
    model.train(training)
    return rows
