"""The checkpoints of G.pt (https://arxiv.org/abs/2209.12892).

``RUN/{data.mdb, runs.json}``: an LMDB with the flat float32 weights under ``NAME/ep000_it00000.pt`` and the sizes of
the tensors, float32 too, under that key with ``_arch``; runs.json = {checkpoints: {key: metrics}, metadata}, or a
mapping of such, by run, where several share a folder.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.importers.documents import number, read_json
from zoo.importers.lmdb_files import LmdbFile
from zoo.importers.network import OWN, ForeignNetwork, layout_of, recipe
from zoo.importers.sources import Sources

if TYPE_CHECKING:
    from torch import Tensor

MNIST = recipe("mlp", inputs=784, hidden=[10], outputs=10, activation="relu")
CIFAR = recipe(f"{OWN}GptConvNet", widths=[16, 32], example_shape=[3, 32, 32])
KNOWN: dict[tuple[int, ...], dict[str, Any]] = {(7840, 10, 100, 10): MNIST, (432, 4608, 320, 10): CIFAR}
LOSSES = {"avg_train_loss": "train_loss", "avg_test_loss": "test_loss"}
# In per cent.
ERRORS = {"avg_train_err": "train_accuracy", "avg_test_err": "test_accuracy"}


def read(sources: Sources) -> Iterator[ForeignNetwork]:
    """The networks of all runs, their checkpoints as states."""
    for path in sources.find("**/runs.json"):
        runs = read_json(sources(path))
        database = LmdbFile(sources(path.parent / "data.mdb"))
        for name, run in ({path.parent.name: runs} if "checkpoints" in runs else runs).items():
            yield _network(sources, path, database, name, run)


def _network(sources: Sources, path: Path, database: LmdbFile, name: str, run: Any) -> ForeignNetwork:
    import torch

    checkpoints = run.get("checkpoints") if isinstance(run, dict) else None
    if not isinstance(checkpoints, dict) or not checkpoints or not all(map(_is_row, checkpoints.values())):
        raise ValueError(f"{path}: expected checkpoints with their metrics for the run {name[:80]!r}")
    places = sorted((_place(key, path), key) for key in checkpoints)
    sizes = {tuple(_floats(database, f"{key}_arch").long().tolist()) for _, key in places}
    if len(sizes) != 1:
        raise ValueError(f"{path}: expected one architecture in the run {name[:80]!r}, got tensors of {sizes}")
    made = _recipe(next(iter(sizes)), path)
    layout = layout_of(made)
    states = [_floats(database, key) for _, key in places]
    if wrong := [len(state) for state in states if len(state) != layout.num_parameters]:
        raise ValueError(f"{database.path}: expected {layout.num_parameters} weights, got {wrong[0]}")
    return ForeignNetwork(
        source=f"{sources.name(path.parent)}: {name}",
        recipe=made,
        layout=layout,
        epochs=tuple(place[0] for place, _ in places),
        states=torch.stack(states),
        metrics=_metrics([checkpoints[key] for _, key in places]),
        columns={"iterations": [place[-1] for place, _ in places], "run": name},
    )


def _is_row(value: Any) -> bool:
    return isinstance(value, dict)


def _place(key: str, path: Path) -> tuple[int, ...]:
    """Epoch and iteration of a key."""
    found = re.fullmatch(r"(?:.*/)?(?:ep(\d{1,9})_)?it(\d{1,9})\.pt", key)
    if found is None:
        raise ValueError(f"{path}: expected keys such as RUN/ep000_it00000.pt, got {key[:200]!r}")
    return int(found[1] or found[2]), int(found[2])


def _floats(database: LmdbFile, key: str) -> "Tensor":
    import torch

    data = bytearray(database[key])
    if not data or len(data) % 4:
        raise ValueError(f"{database.path}: expected float32 numbers under {key!r}, got {len(data)} bytes")
    return torch.frombuffer(data, dtype=torch.float32)


def _recipe(sizes: tuple[int, ...], path: Path) -> dict[str, Any]:
    """The recipe of tensors of these sizes; a Cartpole policy is known by its pattern."""
    if sizes in KNOWN:
        return KNOWN[sizes]
    actions, widths = sizes[0], list(sizes[2::2])
    inputs = sizes[1] // widths[0] if len(sizes) > 3 and widths and widths[0] > 0 else 0
    ends = [inputs, *widths]
    expected = [actions, *(n for i, o in pairwise(ends) for n in (i * o, o))]
    if list(sizes) != expected or not widths or widths[-1] != actions or min(ends) < 1:
        raise ValueError(f"{path}: expected a network of MNIST, CIFAR-10 or Cartpole, got tensors of sizes {sizes}")
    return recipe(f"{OWN}GptActor", sizes=ends, example_shape=[inputs])


def _metrics(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    metrics = {ours: [number(row.get(theirs)) for row in rows] for theirs, ours in LOSSES.items()}
    metrics |= {ours: [1 - number(row.get(theirs)) / 100 for row in rows] for theirs, ours in ERRORS.items()}
    others = sorted(set(rows[0]) - {*LOSSES, *ERRORS})
    metrics |= {f"source.{name}": [number(row.get(name)) for row in rows] for name in others}
    return {name: values for name, values in metrics.items() if any(value == value for value in values)}
