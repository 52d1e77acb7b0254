"""How well the embedding of a graph hypernetwork tells what becomes of an architecture before it is trained.

    python scripts/property_prediction.py --zoo DIR [--ghn CHECKPOINT] [--json FILE] [--minutes 30] [--seed 0]

Trains the architectures of scripts/specs/architectures.yaml on scikit-learn's digits with the stacked trainer (a call
that was stopped goes on; `zoo build` of the same spec does the same), measures accuracy, parameters, CPU time of an
image and updates to a training loss, fits a regression of each on the embeddings of all but the held-out ones, its
hyper-parameters chosen by cross-validation on those alone, and scores Kendall's tau on the held-out ones. The number of
parameters is known without training, and learned from 1000 more architectures. Beside it stand the hypernetwork
untrained, counts of primitives, and a control that is fitted and scored on properties dealt out at random; and how
often the nearest architecture is of the same family.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import _results
import torch
from _architecture_labels import PROPERTIES, labels_of
from torch import Tensor
from tqdm import tqdm

import hypernets
import zoo
from graphs import Recipe, recipe_graph, sample_architecture
from hypernets.ghn.embedding import embed_recipes
from hypernets.ghn.properties import fit_property
from hypernets.tasks.nearest import recipes_among, same_family
from hypernets.tasks.predict import checkpoint
from metanets.metrics import regression_metrics

SPEC = Path(__file__).parent / "specs" / "architectures.yaml"
STATISTICS = {"mean, std, size": ("mean", "std", "size"), "mean": ("mean",)}
TAUS = {"accuracy": 0.4, "parameters": 0.8}
SAME_FAMILY, HELD_OUT = 0.8, 200
# How far from 0 tau may be where nothing can be learned: three standard deviations for 200 networks.
CONTROL = 0.15
COUNTS = "counts of primitives, nodes, parameters"
UNITS = {"accuracy": "", "parameters": "parameters", "inference": "s", "convergence": "updates"}


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    labels = labels_of(build(given), Path(given.zoo) / "labels.json")
    recipes = [Recipe.from_dict(row["recipe"]) for row in labels]
    values = {name: torch.tensor([row[name] for row in labels], dtype=torch.float64) for name in PROPERTIES}
    more = untrained_recipes(given, recipes)
    values["parameters"] = torch.cat([values["parameters"], parameters(more)])
    train, test = split(len(labels), given.held_out, given.seed)
    rows = [
        _results.row("architectures to learn from", len(train), "networks"),
        _results.row("more of them to learn the parameters from", len(more), "networks"),
        _results.row("architectures held out", len(test), "networks", at_least=HELD_OUT),
        *spreads(values),
    ]
    by_title = features(given, recipes + more, values)
    for number, (title, embeddings) in enumerate(tqdm(by_title.items(), unit="set of features")):
        taus = score(title, embeddings, values, train, test, given.seed)
        rows += [_results.row(f"{title}: tau of {name}", tau, "", **bounds(name, number)) for name, tau in taus.items()]
    title, embeddings = next(iter(by_title.items()))
    dealt = {name: v[shuffle(len(v), given.seed + 1)] for name, v in values.items()}
    taus = score(title, embeddings, dealt, train, test, given.seed)
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
    parser.add_argument("--minutes", type=float, help="time to train them; goes on with as many as are done")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="how many to score on (default: %(default)s)")
    parser.add_argument(
        "--more", type=int, default=1000, help="untrained ones to learn the parameters from (%(default)s)"
    )
    parser.add_argument("--json", help="file that gets the figures")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the folds and the untrained hypernetwork")
    return parser.parse_args(arguments)


def build(given: argparse.Namespace) -> zoo.Zoo:
    """The zoo, or as much of it as is trained when the time is over."""
    spec = zoo.ZooSpec.from_yaml(given.spec)
    if given.architectures is not None:
        recipes = tuple(replace(recipe, architectures=given.architectures) for recipe in spec.recipes)
        spec = replace(spec, recipes=recipes, members=given.architectures * len(recipes))
    if given.minutes is None:
        return zoo.build(spec, given.zoo, workers=1)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(spec.to_yaml())
        file.flush()
        command = [sys.executable, "-m", "zoo", "build", file.name, given.zoo, "--workers", "0"]
        # A zoo is whole after every kill; the next call goes on with it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, timeout=60 * given.minutes, check=True)
    return zoo.open(given.zoo)


def split(count: int, held_out: int, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers of the networks to learn from, and of those to score on."""
    if count <= held_out:
        raise SystemExit(f"expected more networks than the {held_out} held out, got {count}; give more time")
    order = shuffle(count, seed)
    return order[held_out:], order[:held_out]


def shuffle(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def untrained_recipes(given: argparse.Namespace, known: Sequence[Recipe]) -> list[Recipe]:
    """Other architectures of the spaces of the spec: what needs no training can be learned from more of them."""
    seeds, spaces = itertools.count(10**6), [recipe.space for recipe in zoo.ZooSpec.from_yaml(given.spec).recipes]
    shape, seen = known[0].arguments["input_shape"], set(known)
    drawn = (sample_architecture(s, n, input_shape=shape).with_arguments(dropout=0) for n in seeds for s in spaces)
    return list(itertools.islice((recipe for recipe in drawn if recipe not in seen), given.more))


def parameters(recipes: Sequence[Recipe]) -> Tensor:
    """How many each of them has."""
    shapes = [[s for node in recipe_graph(r).nodes for s in node.parameters.values()] for r in recipes]
    return torch.tensor([sum(map(math.prod, of_one)) for of_one in shapes], dtype=torch.float64)


def models(given: argparse.Namespace) -> dict[str, Any]:
    """The hypernetwork by title, and the same one untrained."""
    trained = checkpoint(given.ghn) if given.ghn else None
    torch.manual_seed(given.seed)
    name, config = (trained.name, trained.config) if trained is not None else ("ghn2", {})
    untrained = hypernets.create(name, **{**config, "trained_steps": 0}).eval()
    return {**({} if trained is None else {name: trained}), f"{name} untrained": untrained}


def features(given: argparse.Namespace, recipes: Sequence[Recipe], values: dict[str, Tensor]) -> dict[str, Tensor]:
    """``[A, F]`` by title; the hypernetwork that is scored comes first."""
    found = {
        f"{name}, {title}": embed_recipes(model, recipes, statistics)
        for name, model in models(given).items()
        for title, statistics in STATISTICS.items()
    }
    return {**found, COUNTS: torch.cat([counts(recipes), values["parameters"].log()[:, None]], 1)}


def counts(recipes: Sequence[Recipe]) -> Tensor:
    """How often each primitive occurs, and the logarithm of the number of nodes."""
    nodes = [[node.name for node in recipe_graph(recipe).nodes] for recipe in recipes]
    names = sorted({name for of_one in nodes for name in of_one})
    return torch.tensor([[*map(of_one.count, names), math.log(len(of_one))] for of_one in nodes]).double()


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
    """Kendall's tau of every property on the architectures ``test``, learned from those of ``train`` and, where more
    values are known than there are trained networks, from these too."""
    taus, trained = {}, len(values["accuracy"])
    for name, scale in PROPERTIES.items():
        # Who is told the parameters need not predict them.
        x = embeddings[:, :-1] if name == "parameters" and title == COUNTS else embeddings
        rows = torch.cat([train, torch.arange(trained, len(values[name]))])
        model = fit_property(x[rows], values[name][rows], scale, seed)
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
