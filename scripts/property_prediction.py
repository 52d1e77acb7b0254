"""How well the embedding of a graph hypernetwork tells what becomes of an architecture before it is trained.

    python scripts/property_prediction.py --zoo DIR [--ghn CHECKPOINT] [--json FILE] [--architectures 450] [--seed 0]

Trains the architectures of scripts/specs/architectures.yaml on scikit-learn's digits with the stacked trainer (a call
that was stopped goes on; `zoo build` of the same spec does the same), measures accuracy, parameters, CPU time of an
image and epochs to a training loss, fits a regression of each on the embeddings of all but the held-out architectures,
its hyper-parameters chosen by cross-validation on those alone, and scores Kendall's tau on the held-out ones. Beside it
stand the hypernetwork untrained, counts of primitives, and a control that is fitted and scored on properties dealt out
at random; and how often the nearest architecture is of the same family.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import _results
import torch
from _architecture_labels import PROPERTIES, labels_of
from torch import Tensor

import hypernets
import zoo
from graphs import Recipe
from hypernets.ghn.architecture import PRIMITIVES, Architecture
from hypernets.ghn.embedding import embed_architectures
from hypernets.ghn.properties import fit_property
from hypernets.tasks.nearest import described, recipes_among, same_family
from metanets.metrics import regression_metrics

SPEC = Path(__file__).parent / "specs" / "architectures.yaml"
STATISTICS = {"mean": ("mean",), "mean, std, size": ("mean", "std", "size")}
TAUS = {"accuracy": 0.4, "parameters": 0.8}
SAME_FAMILY = 0.8
# How far from 0 tau may be where nothing can be learned: three standard deviations for 200 networks.
CONTROL = 0.15
COUNTS = "counts of primitives, nodes, parameters"
UNITS = {"accuracy": "", "parameters": "parameters", "inference": "s", "convergence": "epochs"}


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    labels = labels_of(build(given.spec, given.zoo, given.architectures), Path(given.zoo) / "labels.json")
    architectures = [described(Recipe.from_dict(row["recipe"])) for row in labels]
    values = {name: torch.tensor([row[name] for row in labels], dtype=torch.float64) for name in PROPERTIES}
    train, test = split(len(labels), given.held_out, given.seed)
    rows = [
        _results.row("architectures to learn from", len(train), "networks"),
        _results.row("architectures held out", len(test), "networks", at_least=given.held_out),
        *spreads(values),
    ]
    by_title = features(given, architectures, values)
    for number, (title, embeddings) in enumerate(by_title.items()):
        taus = score(title, embeddings, values, train, test, given.seed)
        rows += [_results.row(f"{title}: tau of {name}", tau, "", **bounds(name, number)) for name, tau in taus.items()]
    title, embeddings = next(iter(by_title.items()))
    dealt = shuffle(len(labels), given.seed + 1)
    taus = score(title, embeddings, {name: v[dealt] for name, v in values.items()}, train, test, given.seed)
    rows += [
        _results.row(f"control, dealt out at random: tau of {name}", tau, "", -CONTROL, CONTROL)
        for name, tau in taus.items()
    ]
    rows += retrieval(models(given))
    _results.show(rows)
    _results.finish(given.json, rows, given.seed)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--zoo", required=True, help="folder of the zoo; built there, or gone on with")
    parser.add_argument("--spec", default=str(SPEC), help="the zoo's spec (default: scripts/specs/architectures.yaml)")
    parser.add_argument("--ghn", help="folder of a trained graph hypernetwork (default: an untrained GHN-2)")
    parser.add_argument("--architectures", type=int, help="how many to train (default: as the spec says)")
    parser.add_argument("--held-out", type=int, default=200, help="how many of them to score on (default: 200)")
    parser.add_argument("--json", help="file that gets the figures")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the folds and the untrained hypernetwork")
    return parser.parse_args(arguments)


def build(spec: str, folder: str, architectures: int | None) -> zoo.Zoo:
    read = zoo.ZooSpec.from_yaml(spec)
    if architectures is not None:
        (recipe,) = read.recipes
        read = replace(read, recipes=(replace(recipe, architectures=architectures),), members=architectures)
    return zoo.build(read, folder, workers=1)


def split(count: int, held_out: int, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers of the networks to learn from, and of those to score on."""
    order = shuffle(count, seed)
    return order[held_out:], order[:held_out]


def shuffle(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def models(given: argparse.Namespace) -> dict[str, Any]:
    """The hypernetwork by title, and the same one untrained."""
    trained = hypernets.load(given.ghn) if given.ghn else None
    torch.manual_seed(given.seed)
    name, config = (trained.name, trained.config) if trained is not None else ("ghn2", {})
    untrained = hypernets.create(name, **config).eval()
    return {**({} if trained is None else {name: trained}), f"{name} untrained": untrained}


def features(
    given: argparse.Namespace, architectures: Sequence[Architecture], values: dict[str, Tensor]
) -> dict[str, Tensor]:
    """``[A, F]`` by title; the hypernetwork that is scored comes first."""
    found = {
        f"{name}, {title}": embed_architectures(model, architectures, statistics)
        for name, model in models(given).items()
        for title, statistics in STATISTICS.items()
    }
    counts = torch.stack([a.primitive.bincount(minlength=len(PRIMITIVES)) for a in architectures]).double()
    sizes = torch.stack([counts.sum(1), values["parameters"]], 1).log()
    return {**found, COUNTS: torch.cat([counts, sizes], 1)}


def spreads(values: dict[str, Tensor]) -> list[dict[str, Any]]:
    """The middle and the ends of what is to be predicted."""
    parts = {"lowest": 0.0, "median": 0.5, "highest": 1.0}
    return [
        _results.row(f"{name}: {part}", v.quantile(q).item(), UNITS[name])
        for name, v in values.items()
        for part, q in parts.items()
    ]


def score(
    title: str, embeddings: Tensor, values: dict[str, Tensor], train: Tensor, test: Tensor, seed: int
) -> dict[str, float]:
    """Kendall's tau of every property on the architectures ``test``, learned from those of ``train``."""
    taus = {}
    for name, scale in PROPERTIES.items():
        # Who is told the parameters need not predict them.
        x = embeddings[:, :-1] if name == "parameters" and title == COUNTS else embeddings
        model = fit_property(x[train], values[name][train], scale, seed)
        taus[name] = regression_metrics(model.predict(x[test]).numpy(), values[name][test].numpy())["tau"]
    return taus


def bounds(name: str, number: int) -> dict[str, float]:
    """What the first of the embeddings has to hold."""
    return {"at_least": TAUS[name]} if number == 0 and name in TAUS else {}


def retrieval(ghns: dict[str, Any]) -> list[dict[str, Any]]:
    """How often the nearest architecture is of the same family, among those of the built-in gallery."""
    gallery, rows = recipes_among(None), []
    for number, (title, ghn) in enumerate(ghns.items()):
        found = same_family(ghn, gallery)
        least = {"at_least": SAME_FAMILY} if number == 0 else {}
        rows.append(_results.row(f"{title}: same family first", found["same_family_first"], "of queries", **least))
        rows += [
            _results.row(f"{title}: same family first, {f}", r, "of queries") for f, r in found["families"].items()
        ]
    return rows


if __name__ == "__main__":
    main()
