"""A folder of state dicts (safetensors, .pt, .pth) with a table of them: csv, json or parquet, a row a file.

The column ``file`` names the file. ``network`` and ``epoch``, where they are, make several files the states of one
network. ``recipe`` may hold a built-in family with its arguments as JSON. Losses, accuracies and hyper-parameters are
known by our names; every other column is kept as it is.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.hyperparameters import HYPERPARAMETERS
from zoo.importers.array_files import open_safetensors
from zoo.importers.documents import number, parsed, read_csv, read_json
from zoo.importers.network import ForeignNetwork, layout_of, unknown
from zoo.importers.recipes import checked_recipe
from zoo.importers.sources import Sources
from zoo.importers.torch_files import TorchFile

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = (".safetensors", ".pt", ".pth")
METRICS = tuple(f"{part}_{what}" for part in ("train", "test", "val") for what in ("loss", "accuracy"))
INNER = ("state_dict", "model_state_dict", "model")
OWN = ("file", "network", "epoch", "recipe", "label")
WHY = "the table has no column recipe"


def read(sources: Sources) -> Iterator[ForeignNetwork]:
    """The networks of the folder."""
    files = [path for path in sources.find("**/*") if path.suffix in WEIGHTS]
    groups: dict[str, list[dict[str, Any]]] = {}
    rows = _rows(sources, files)
    for row in rows:
        groups.setdefault(str(row.get("network") or row["file"]), []).append(row)
    for name, states in groups.items():
        yield _network(sources, name, states)


def _rows(sources: Sources, files: list[Path]) -> list[dict[str, Any]]:
    """A row for each file: those of the table, where there is one."""
    tables = [path for path in sources.find("*") if path.suffix in TABLES]
    if len(tables) > 1:
        raise ValueError(f"{sources.root}: expected one table, got {', '.join(path.name for path in tables)}")
    if not tables:
        return [{"file": sources.name(path)} for path in files]
    rows = TABLES[tables[0].suffix](sources(tables[0]), len(files))
    named = [sources.inside(row.get("file"), tables[0]) for row in rows]
    if twice := next((path for path in named if named.count(path) > 1), None) if len(set(named)) < len(named) else None:
        raise ValueError(f"{tables[0]}: expected a row a file, but {twice} stands there twice")
    if other := sorted(set(named) ^ set(files)):
        raise ValueError(f"{tables[0]}: expected a row for each file and a file for each row, not so for {other[0]}")
    return rows


def _csv(path: Path, count: int) -> list[dict[str, Any]]:
    rows = []
    for row in read_csv(path, ("file",)):
        rows.append(row | {"file": None if row["file"] is None else str(row["file"])})
        if len(rows) > count:
            raise ValueError(f"{path}: expected at most {count} rows, one a file")
    return rows


def _json(path: Path, count: int) -> list[dict[str, Any]]:
    """``{file: {column: value}}``"""
    rows = read_json(path)
    if not all(isinstance(row, dict) and "file" not in row for row in rows.values()):
        raise ValueError(f"{path}: expected a JSON object of rows by file")
    return [{"file": name, **row} for name, row in rows.items()]


def _parquet(path: Path, count: int) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        if file.metadata.num_rows > count or file.metadata.num_columns > 10_000:
            raise ValueError(f"{path}: expected at most {count} rows, one a file, got {file.metadata.num_rows}")
        return file.read().to_pylist()
    except (OSError, ValueError, NotImplementedError, KeyError) as error:
        raise ValueError(f"{path}: expected a parquet file, but it cannot be read ({str(error)[:200]})") from error


TABLES = {".csv": _csv, ".json": _json, ".parquet": _parquet}


def _network(sources: Sources, name: str, rows: list[dict[str, Any]]) -> ForeignNetwork:
    import torch

    where = f"{sources.root}: network {name[:80]}"
    rows = sorted(rows, key=lambda row: _epoch(row, where))
    epochs = tuple(_epoch(row, where) for row in rows)
    if len(set(epochs)) != len(epochs):
        raise ValueError(f"{sources.root}: expected states of different epochs for the network {name}, got {epochs}")
    states = [read_state(sources(sources.root / row["file"])) for row in rows]
    made = _recipe(rows[0], states[0], sources.root / rows[0]["file"])
    layout = layout_of(made) if made else layout_from(states[0])
    for row, state in zip(rows, states, strict=True):
        check_fit(layout, state, sources.root / row["file"])
    first = rows[0]
    return ForeignNetwork(
        source=name,
        recipe=made or unknown(states[0], WHY),
        layout=layout,
        epochs=epochs,
        states=torch.stack([layout.flatten(state) for state in states]),
        metrics={n: [number(_value(row.get(n))) for row in rows] for n in METRICS if n in first},
        settings={n: v for n, v in first.items() if n in HYPERPARAMETERS and _fits(n, v)},
        columns={n: v for n, v in first.items() if n not in (*METRICS, *OWN) and not _fits(n, v)},
        label=_label(first.get("label")),
        other={n: torch.stack([state[n] for state in states]) for n in layout.other(states[0])},
    )


def _fits(name: str, value: Any) -> bool:
    """Whether a cell is a value of our hyper-parameter of this name."""
    try:
        return name in HYPERPARAMETERS and value is not None and HYPERPARAMETERS[name].check(name, value) == value
    except ValueError:
        return False


def _value(value: Any) -> Any:
    return parsed(value) if isinstance(value, str) else value


def _label(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None


def _epoch(row: dict[str, Any], where: str) -> int:
    epoch = row.get("epoch", 1)
    if type(epoch) is not int or not 0 <= epoch < 2**31:
        raise ValueError(f"{where}: expected a whole number as epoch, got {str(epoch)[:80]!r}")
    return epoch


def read_state(path: Path) -> "dict[str, Tensor]":
    """The tensors of one file; those of a checkpoint lie under one of the names ``INNER``."""
    if path.suffix == ".safetensors":
        return open_safetensors(path)
    file = TorchFile(path)
    content = file.content
    for name in INNER:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    return file.state_dict(content)


def layout_from(state: "Mapping[str, Tensor]") -> Any:
    """The layout of a state dict alone."""
    from graphs.layout import flat_layout

    return flat_layout(state)


def check_fit(layout: Any, state: "Mapping[str, Tensor]", path: Path) -> None:
    """Raise ValueError that names the file unless the state has the layout's names and shapes."""
    try:
        layout.check(state)
    except ValueError as error:
        raise ValueError(f"{path}: {str(error)[:500]}") from error


def _recipe(row: dict[str, Any], state: "Mapping[str, Tensor]", path: Path) -> dict[str, Any] | None:
    """The recipe of the row, None where it has none."""
    text = row.get("recipe")
    if text is None:
        return None
    try:
        value = json.loads(text) if isinstance(text, str) and text.startswith("{") else text
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: its recipe is not JSON: {text[:200]}") from error
    return checked_recipe({"factory": value} if isinstance(value, str) else value, state, str(path))
