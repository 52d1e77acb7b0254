"""StatNN: statistics of every layer's weights, read by boosted trees."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import ArrayLike, NDArray

from graphs import ParameterGraph
from graphs.durable import write_durably

STATISTICS = ("mean", "var", "q0", "q25", "q50", "q75", "q100")
COUNTS = ("parameters", "layers", "matrices", "convolutions", "norms")
_DEFAULTS = {
    "objective": "cross_entropy",
    "learning_rate": 0.03,
    "num_leaves": 31,
    "min_data_in_leaf": 10,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "verbosity": -1,
    "deterministic": True,
    "force_row_wise": True,
}


class StatNN:
    """Predicting neural network accuracy from weights (Unterthiner 2020, https://arxiv.org/abs/2002.11448).

    Of each layer's W and of its b: mean, variance and the quantiles 0, 25, 50, 75, 100; then LightGBM. The paper has
    one architecture; here a zoo may mix them, so the row has a fixed layout: the first ``max_layers`` layers counted
    from the input, the last ``max_layers`` counted back from the output (both hold a short network whole), missing
    layers NaN, then counts (parameters, layers, matrices, convolutions, norms). A layer is the module that holds the
    parameters; its W is every parameter that is not called bias. Buffers are left out.

    Not trained by ``fit``: see ``fit_statistics``.

    Args:
        max_layers: layers described from each end.
        rounds: boosting rounds.
        threads: of LightGBM.
        parameters: further LightGBM parameters.

    Shapes: features ``[networks, (2 * max_layers) * 2 * 7 + 5]``; predictions ``[networks]`` in 0..1.
    """

    name = "statnn"

    def __init__(
        self, max_layers: int = 8, rounds: int = 400, threads: int = 1, parameters: Mapping[str, Any] | None = None
    ) -> None:
        if max_layers < 1 or rounds < 1:
            raise ValueError(f"expected max_layers >= 1 and rounds >= 1, got {max_layers} and {rounds}")
        self.max_layers, self.rounds, self.threads = max_layers, rounds, threads
        self.parameters = dict(parameters or {})
        self.booster: Any = None

    def fit_statistics(self, graphs: Sequence[ParameterGraph], targets: ArrayLike, seed: int = 0) -> StatNN:
        """Grow the trees on networks and their targets in 0..1; the same seed gives the same trees."""
        import lightgbm

        targets = numpy.asarray(targets, dtype=float)
        if len(graphs) != len(targets):
            raise ValueError(f"expected one target a network, got {len(graphs)} networks and {len(targets)} targets")
        settings = {**_DEFAULTS, "seed": seed, "num_threads": self.threads, **self.parameters}
        data = lightgbm.Dataset(statistics(graphs, self.max_layers), label=targets, free_raw_data=True)
        self.booster = lightgbm.train(settings, data, num_boost_round=self.rounds)
        return self

    def predict(self, graphs: Sequence[ParameterGraph]) -> NDArray[numpy.float64]:
        """One number a network, of any architecture."""
        if self.booster is None:
            raise ValueError("this StatNN has no trees yet; call fit_statistics, or load a saved one")
        return numpy.asarray(self.booster.predict(statistics(graphs, self.max_layers), num_threads=self.threads))

    def num_parameters(self) -> int:
        """Numbers the trees hold: a value a leaf, a feature with its threshold a split."""
        leaves = self.booster.trees_to_dataframe()["left_child"].isna()
        return int(leaves.sum() + 2 * (~leaves).sum())

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write ``trees.txt`` (LightGBM's text format) with ``config.json`` into a folder."""
        if self.booster is None:
            raise ValueError("this StatNN has no trees to save; call fit_statistics first")
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / "trees.txt", self.booster.model_to_string().encode())
        write_durably(folder / "config.json", (json.dumps(self.config(), indent=2) + "\n").encode())

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> StatNN:
        """The model that ``save_pretrained`` wrote."""
        import lightgbm

        config = json.loads((Path(folder) / "config.json").read_text())
        if config.get("model") != cls.name:
            raise ValueError(
                f"expected a saved {cls.name!r} in {folder}, its config.json is of {config.get('model')!r}"
            )
        model = cls(**config["arguments"])
        model.booster = lightgbm.Booster(model_file=str(Path(folder) / "trees.txt"))
        return model

    def config(self) -> dict[str, Any]:
        arguments = {n: getattr(self, n) for n in ("max_layers", "rounds", "threads", "parameters")}
        return {"model": self.name, "arguments": arguments}


def statistics(graphs: Sequence[ParameterGraph], max_layers: int) -> NDArray[numpy.float64]:
    """The rows of StatNN. Shapes: ``[networks, 28 * max_layers + 5]``; networks of one topology are taken together."""
    by_topology: dict[tuple[Any, ...], list[int]] = {}
    for index, graph in enumerate(graphs):
        by_topology.setdefault(_key(graph), []).append(index)
    rows = numpy.full((len(graphs), 4 * len(STATISTICS) * max_layers + len(COUNTS)), numpy.nan)
    for members in by_topology.values():
        flat = numpy.stack([graphs[i].flat().detach().cpu().double().numpy() for i in members])
        rows[members] = _rows(flat, _layers(graphs[members[0]]), max_layers)
    return rows


def feature_names(max_layers: int) -> list[str]:
    """What each column of ``statistics`` is, such as ``first0.b.q75`` or ``last0.W.mean`` (last0: output layer)."""
    slots = [f"{end}{i}" for end in ("first", "last") for i in range(max_layers)]
    return [f"{slot}.{role}.{s}" for slot in slots for role in "Wb" for s in STATISTICS] + list(COUNTS)


def _key(graph: ParameterGraph) -> tuple[Any, ...]:
    return tuple((e.name, e.shape, e.offset) for e in graph.topology.entries)


def _layers(graph: ParameterGraph) -> list[dict[str, list[Any]]]:
    """The parameters of each module that has some, in state_dict order: ``{"W": entries, "b": entries}``."""
    layers: dict[str, dict[str, list[Any]]] = {}
    for entry in graph.topology.entries:
        if entry.is_buffer or entry.offset is None or entry.tied_to is not None:
            continue
        module, _, name = entry.name.rpartition(".")
        layers.setdefault(module, {"W": [], "b": []})["b" if name.endswith("bias") else "W"].append(entry)
    return list(layers.values())


def _rows(flat: NDArray[numpy.float64], layers: list[dict[str, list[Any]]], most: int) -> NDArray[numpy.float64]:
    described = [numpy.concatenate([_describe(flat, layer[role]) for role in "Wb"], axis=1) for layer in layers]
    missing = numpy.full((len(flat), 2 * len(STATISTICS)), numpy.nan)
    padding = [missing] * max(0, most - len(layers))
    slots = [*described[:most], *padding, *described[::-1][:most], *padding]
    ranks = [max((len(e.shape) for e in layer["W"]), default=1) for layer in layers]
    size = sum(e.numel for layer in layers for role in layer.values() for e in role)
    counts = [size, len(layers), ranks.count(2), sum(rank > 2 for rank in ranks), ranks.count(1)]
    return numpy.concatenate([*slots, numpy.tile(numpy.array(counts, dtype=float), (len(flat), 1))], axis=1)


def _describe(flat: NDArray[numpy.float64], entries: list[Any]) -> NDArray[numpy.float64]:
    pieces = [flat[:, e.offset : e.offset + e.numel] for e in entries if e.numel]
    if not pieces:
        return numpy.full((len(flat), len(STATISTICS)), numpy.nan)
    values = numpy.concatenate(pieces, axis=1)
    quantiles = numpy.quantile(values, (0, 0.25, 0.5, 0.75, 1), axis=1).T
    return numpy.concatenate([values.mean(1, keepdims=True), values.var(1, keepdims=True), quantiles], axis=1)
