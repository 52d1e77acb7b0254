"""All parameters of a user's module from a graph hypernetwork, and a report of what became of each."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graphs.layout import flat_layout
from hypernets.ghn.architecture import PRIMITIVES, Architecture, collate_architectures
from hypernets.ghn.batch_statistics import estimate_statistics, norms_with_statistics
from hypernets.ghn.describing import describe
from hypernets.ghn.own_values import OwnValues
from hypernets.ghn.report import OWN, PREDICTED, Report, ReportRow
from hypernets.ghn.spectral import singular_vectors, spectral_norms
from hypernets.ghn.steadying import steady, steady_tables
from hypernets.ghn.target import Target

if TYPE_CHECKING:
    from hypernets.ghn.model import GHN

# The bound wanted of whole networks is 10; what follows a layer may widen a gap.
WITHIN = 4.0
NOT_FINITE = "the hypernetwork wrote values that are not finite"


def predict(
    ghn: GHN,
    module: nn.Module,
    *inputs: Any,
    within: float | None = WITHIN,
    batches: Iterable[Any] | None = None,
    **kwargs: Any,
) -> tuple[dict[str, Tensor], Report]:
    """The state_dict of ``module`` with every parameter that a hypernetwork can write, and a report of all of them.

    ``module.load_state_dict(weights)`` takes it, with ``assign=True`` that of a module on the meta device; a note names
    what is left out there, for it has no values and its layer no ``reset_parameters``. The module itself is not
    changed. The values that it has are taken to be those of its own initialisation: what cannot be predicted keeps
    them.

    Args:
        ghn: the hypernetwork.
        module: any network; of one on the meta device the weights come to lie on the CPU.
        inputs, kwargs: example inputs.
        within: how many times larger or smaller than under the own initialisation a layer may put out values; beyond
            it the layer is rescaled, and its row of the report says so. None leaves all as the hypernetwork wrote it.
        batches: inputs to estimate running statistics of batch norms on; see
            :func:`hypernets.ghn.batch_statistics.estimate_statistics`.

    Raises UntraceableError (a ValueError) for a module that cannot be traced on the inputs.
    """
    if within is not None and within < 1:
        raise ValueError(f"expected within >= 1 (times larger or smaller), or None, got {within}")
    architecture, embeddings = read(ghn, module, *inputs, **kwargs)
    with torch.no_grad():
        written = {t.name: ghn.write_one(embeddings, t) for t in architecture.targets}
        factors = steady_tables(architecture.targets, written, within)
    weights, rows = _assembled(module, written, report_rows(ghn, module, architecture))
    _turn_spectral_norms(module, weights, architecture)
    notes = notes_on(ghn, module, architecture) + missing_notes(module.state_dict().keys() - weights.keys())
    if within is not None and not _is_meta(module):
        predicted = frozenset(row.name for row in rows if row.by == PREDICTED)
        layers = steady(module, weights, predicted, inputs, kwargs, within)
        factors = {row.name: factors.get(row.name, 1.0) * layers.get(row.name, 1.0) for row in rows}
    rows = [replace(row, rescaled=factors.get(row.name, 1.0)) for row in rows]
    notes += statistics_notes(module, weights, batches)
    return weights, Report(tuple(rows), tuple(notes))


def read(ghn: GHN, module: nn.Module, *inputs: Any, **kwargs: Any) -> tuple[Architecture, Tensor]:
    """The architecture of a module in the words of a hypernetwork, and the embeddings of its nodes."""
    architecture = describe(module, *inputs, primitives=PRIMITIVES[: ghn.config["primitives"]], **kwargs)
    device = next(ghn.parameters()).device
    with torch.no_grad():
        return architecture, ghn.embed(collate_architectures([architecture]).to(device))


def report_rows(ghn: GHN, module: nn.Module, architecture: Architecture) -> list[ReportRow]:
    """A row for every parameter, as far as it is known before any is written."""
    targets = {t.name: t for t in architecture.targets}
    reasons = dict(architecture.own)
    return [
        _predicted(ghn, targets[name])
        if name in targets
        else ReportRow(name, tuple(p.shape), OWN, reason=reasons[name])
        for name, p in module.named_parameters()
    ]


def _predicted(ghn: GHN, target: Target) -> ReportRow:
    return ReportRow(target.name, target.shape, PREDICTED, ghn.decoder_of(target), tiled=ghn.tiling(target))


def _assembled(
    module: nn.Module, written: Mapping[str, Tensor], rows: list[ReportRow]
) -> tuple[dict[str, Tensor], list[ReportRow]]:
    """The state_dict of what was written and of own values, ties as one tensor; rows of what was not finite."""
    own = OwnValues(module)
    first = {e.name: e.tied_to or e.name for e in flat_layout(module).entries}
    unusable = {name for name, values in written.items() if not values.isfinite().all()}
    weights: dict[str, Tensor] = {}
    for name, entry in module.state_dict(keep_vars=True).items():
        if first[name] in weights:
            weights[name] = weights[first[name]]
        elif first[name] in written and first[name] not in unusable:
            device = "cpu" if entry.is_meta else entry.device
            weights[name] = written[first[name]].to(device, entry.dtype).contiguous()
        elif (values := own[name]) is not None:
            weights[name] = values
    return weights, [kept(row, NOT_FINITE) if row.name in unusable else row for row in rows]


def _turn_spectral_norms(module: nn.Module, weights: dict[str, Tensor], architecture: Architecture) -> None:
    """Put the singular vectors of predicted weights in the place of those of the own ones."""
    written = {target.name for target in architecture.targets}
    for norm in spectral_norms(module):
        if norm.weight in written and norm.u in weights:
            u, v = singular_vectors(weights[norm.weight], norm.axis, weights[norm.u])
            weights[norm.u].copy_(u)
            weights[norm.v].copy_(v)


def missing_notes(names: Iterable[str]) -> list[str]:
    """What has neither a prediction nor a value, in the order of the alphabet."""
    missing = ", ".join(sorted(names))
    return [f"left out, for they have no values on the meta device: {missing}"] if missing else []


def kept(row: ReportRow, reason: str) -> ReportRow:
    return ReportRow(row.name, row.shape, OWN, reason=reason)


def notes_on(ghn: GHN, module: nn.Module, architecture: Architecture) -> list[str]:
    """What the owner has to know of the hypernetwork and of the whole; an untrained one is told by a warning too."""
    notes = []
    if not ghn.config["trained_steps"]:
        notes.append("the hypernetwork is untrained: its weights are random, and so are the parameters it predicts")
        warnings.warn(notes[0] + "; load a trained one with hypernets.load", stacklevel=3)
    for target in architecture.targets:
        if target.decoder == "classifier" and ghn.decoder_of(target) != target.decoder:
            notes.append(
                f"{target.name} has {target.canonical[0]} classes, the hypernetwork was trained for "
                f"{ghn.config['num_classes']}: it is written as other layers are and has to be trained"
            )
    if _is_meta(module):
        notes.append("on the meta device the scale of activations cannot be compared with that of the own rule")
    return notes


def statistics_notes(module: nn.Module, weights: dict[str, Tensor], batches: Iterable[Any] | None = None) -> list[str]:
    """Estimate statistics into ``weights`` where there is data; what else is to be done with them."""
    norms = norms_with_statistics(module)
    if not norms:
        return []
    if batches is not None:
        count = estimate_statistics(module, weights, batches)
        return [f"norms with running statistics: {len(norms)}; they are those of {count} batches"]
    return [
        f"norms with running statistics: {len(norms)}; they are those of the module as given: estimate them with "
        "predict(..., batches=[...]), or call hypernets.use_batch_statistics(module) after loading the weights"
    ]


def _is_meta(module: nn.Module) -> bool:
    return any(t.is_meta for t in (*module.parameters(), *module.buffers()))
