"""What is measured of a language model at a kept state."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from zoo.population.losses import Loss
from zoo.population.metrics import Metrics, class_metrics
from zoo.population.samples import Part

# Tokens whose outputs, a number for each token of the vocabulary, are in memory at once.
TOKENS_AT_ONCE = 2**14


def text_metrics(loss: Loss, run: Callable[[Tensor], Tensor], parts: Mapping[str, Part]) -> Metrics:
    """Loss and accuracy of the next token over the windows of each part: train_loss, train_accuracy, and so on.

    Cross-entropy is in nats a token: exp(loss) is the perplexity, loss / log(2) the bits a token.

    Shapes: ``run`` takes tokens ``[B, context]`` and gives ``[B, context, vocabulary]``.
    """
    found: Metrics = {}
    for name, part in parts.items():
        windows = max(1, TOKENS_AT_ONCE // part.x.shape[1])
        for rows, y in zip(part.rows.split(windows), part.y.split(windows), strict=True):
            add_windows(found, name, loss, run(part.x[rows]), y, len(part.rows))
    return found


def add_windows(found: Metrics, part: str, loss: Loss, outputs: Tensor, targets: Tensor, count: int) -> None:
    """Add what some of the ``count`` windows of a part give to its metrics.

    All windows have equally many tokens, so that the mean is that of the batches, by their windows.

    Shapes: outputs ``[B, context, vocabulary]``, targets ``[B, context]``.
    """
    for metric, value in class_metrics(part, loss, outputs, targets).items():
        found[metric] = found.get(metric, 0.0) + value * len(targets) / count
