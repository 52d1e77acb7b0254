"""What a graph hypernetwork learns: weights with which networks it never saw classify."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import get_total_norm

from hypernets.ghn.training.carrying import carried
from hypernets.ghn.training.running import logits, run
from hypernets.ghn.training.sampled import Sampled
from hypernets.ghn.training.stream import MetaBatch

Weights = Mapping[str, Tensor]


class Passed(NamedTuple):
    """One network on the images of a step: its loss, its accuracy and the gradients of its weights."""

    loss: Tensor
    accuracy: Tensor
    gradients: tuple[Tensor, ...]


class ArchitectureTask:
    """The mean cross-entropy of networks on the same images (https://arxiv.org/abs/1810.05749, equation 6).

    The networks of a batch run one after the other, so that the activations of one are in memory at a time. One whose
    loss or gradient is not finite is left out of the step and reported.

    Args:
        label_smoothing: of the cross-entropy.
        norm_penalty: factor of the sum of the norms of a network's predicted tensors, 3e-5 in GHN-3
            (https://arxiv.org/abs/2303.04143, section 4).
        clip: largest norm of the gradient of one network's weights, or None: networks without norm layers have now and
            then gradients that outweigh all others.
        report: called with a record of each network that was left out.
        image_batch: images at once when scoring.
    """

    monitor = "accuracy"
    counts = ("images", "architectures")

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        norm_penalty: float = 0.0,
        clip: float | None = None,
        report: Callable[[Mapping[str, Any]], None] = lambda _: None,
        image_batch: int = 64,
    ) -> None:
        self.label_smoothing, self.norm_penalty, self.clip = label_smoothing, norm_penalty, clip
        self.report, self.image_batch = report, image_batch

    def step(self, model: nn.Module, batch: MetaBatch) -> dict[str, Tensor]:
        written = model([sampled.architecture for sampled in batch.samples])
        kept: list[tuple[Weights, Passed]] = []
        for sampled, weights in zip(batch.samples, written, strict=True):
            passed = self._pass(sampled, weights, batch)
            if passed is not None:
                kept.append((weights, passed))
        amounts = {"images": batch.x.new_tensor(len(batch.x)), "architectures": batch.x.new_tensor(len(kept))}
        skipped = batch.x.new_tensor(len(batch.samples) - len(kept))
        return {**self._loss(model, kept), "skipped": skipped, **amounts}

    def evaluate(self, model: nn.Module, loader: Iterable[MetaBatch]) -> dict[str, float]:
        """Mean accuracy and loss over architectures, each with predicted weights alone."""
        rows = [row for batch in loader for row in self.score(model, batch)]
        return {"accuracy": fmean(a for a, _ in rows), "loss": fmean(v for _, v in rows)}

    def score(self, model: nn.Module, batch: MetaBatch) -> list[tuple[float, float]]:
        """Accuracy and loss of each architecture."""
        with torch.no_grad():
            written = model([sampled.architecture for sampled in batch.samples])
        given = (logits(s.module, w, batch.x, self.image_batch) for s, w in zip(batch.samples, written, strict=True))
        return [(float(_accuracy(z, batch.y)), float(cross_entropy(z.float(), batch.y))) for z in given]

    def _pass(self, sampled: Sampled, weights: Weights, batch: MetaBatch) -> Passed | None:
        leaves = {name: w.detach().float().requires_grad_() for name, w in weights.items()}
        given = run(sampled.module, leaves, batch.x).float()
        loss = cross_entropy(given, batch.y, label_smoothing=self.label_smoothing)
        gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
        norm = float(get_total_norm(gradients))
        if not (torch.isfinite(loss) and norm < float("inf")):
            self.report({"recipe": sampled.recipe.to_dict(), "loss": float(loss.detach()), "gradient_norm": norm})
            return None
        if self.clip is not None and norm > self.clip:
            gradients = tuple(gradient * (self.clip / norm) for gradient in gradients)
        return Passed(loss.detach(), _accuracy(given.detach(), batch.y), gradients)

    def _loss(self, model: nn.Module, kept: Sequence[tuple[Weights, Passed]]) -> dict[str, Tensor]:
        if not kept:
            # Nothing to learn from: a step of gradients that are 0.
            nothing = torch.stack([p.sum() for p in model.parameters()]).sum() * 0
            return {"loss": nothing, "accuracy": nothing.detach()}
        losses, accuracies = (torch.stack([getattr(p, name) for _, p in kept]).mean() for name in ("loss", "accuracy"))
        tensors = [w for weights, _ in kept for w in weights.values()]
        gradients = [g / len(kept) for _, p in kept for g in p.gradients]
        loss = carried(losses, tensors, [g.to(w.dtype) for w, g in zip(tensors, gradients, strict=True)])
        if self.norm_penalty:
            loss = loss + self.norm_penalty / len(kept) * torch.stack([w.float().norm() for w in tensors]).sum()
        return {"loss": loss, "accuracy": accuracies}


def _accuracy(given: Tensor, y: Tensor) -> Tensor:
    return (given.argmax(1) == y).float().mean()
