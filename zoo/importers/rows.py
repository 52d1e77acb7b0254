"""Rows of the table of an imported zoo: the columns of a built one, then those of the source."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zoo.beginning import versions
from zoo.digests import canonical_json
from zoo.hyperparameters import HYPERPARAMETERS
from zoo.importers.network import ForeignNetwork
from zoo.splits import split_of

if TYPE_CHECKING:
    import pyarrow as pa

_TEXTS = ("id", "split", "architecture", "family", "recipe", "loss", "trainer", "status")
_NUMBERS = ("label", "shard", "place", "train_epochs", "batch_size")
_PROVENANCE = ("data", "data_name", "data_fingerprint", "versions", "spec", "format", "source")


def rows_of(
    ids: Sequence[str],
    networks: Sequence[ForeignNetwork],
    status: Sequence[str],
    shard: int,
    architecture: str,
    format: str,
) -> "pa.Table":
    """The rows of the networks of one shard."""
    import pyarrow as pa

    common = {"architecture": architecture, "shard": shard, "trainer": "imported", "format": format}
    common["versions"] = canonical_json(versions())
    rows = [
        common | {"id": name, "split": split_of(name), "status": state, "place": place} | _row(network)
        for place, (name, network, state) in enumerate(zip(ids, networks, status, strict=True))
    ]
    return pa.Table.from_pylist(rows, _schema(rows, list(networks[0].metrics)))


def joined(tables: "Sequence[pa.Table]") -> "pa.Table":
    """The rows of all shards; a column that some shards lack, or have of another type, is null or text there."""
    import pyarrow as pa

    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            kinds.setdefault(field.name, set()).add(field.type)
    schema = pa.schema([(name, _common(types)) for name, types in kinds.items()])
    return pa.concat_tables([_cast(table, schema) for table in tables]).combine_chunks()


def _row(network: ForeignNetwork) -> dict[str, Any]:
    arguments = network.recipe["arguments"]
    settings = {name: arguments.get(name) for name in ("activation", "dropout")} | dict(network.settings)
    settings = {name: _own(name, value) for name, value in settings.items()}
    clashes = {"source", "format", *_TEXTS, *_NUMBERS, *_PROVENANCE, *HYPERPARAMETERS, *network.metrics, "epochs"}
    # What the source calls by one of our names need not mean the same.
    columns = {f"source.{k}" if k in clashes else k: _plain(v) for k, v in network.columns.items()}
    row = {
        "family": network.recipe["factory"],
        "recipe": canonical_json(network.recipe),
        "label": network.label,
        "source": network.source,
        "train_epochs": network.epochs[-1],
        "epochs": list(network.epochs),
    }
    return columns | settings | row | {name: list(values) for name, values in network.metrics.items()}


def _own(name: str, value: Any) -> Any:
    """One of our hyper-parameters in its type; None where it has another: the column of the source keeps it."""
    kind = HYPERPARAMETERS[name].type if name in HYPERPARAMETERS else int
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if whole or isinstance(value, float) else None
    return value if (kind is int and whole) or (kind is str and isinstance(value, str)) else None


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (str, int, float, bool)) else canonical_json(value)


def _schema(rows: list[dict[str, Any]], metrics: list[str]) -> "pa.Schema":
    import pyarrow as pa

    types: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    columns: dict[str, pa.DataType] = {name: pa.string() for name in _TEXTS}
    columns |= {name: types[h.type] for name, h in HYPERPARAMETERS.items()}
    columns |= {name: pa.int64() for name in _NUMBERS}
    columns |= {name: pa.string() for name in _PROVENANCE}
    columns["epochs"] = pa.list_(pa.int64())
    columns |= {name: pa.list_(pa.float64()) for name in sorted(metrics)}
    for name in dict.fromkeys(name for row in rows for name in row if name not in columns):
        columns[name] = _kind([row.get(name) for row in rows])
        if columns[name] == pa.string():
            for row in rows:
                row[name] = None if row.get(name) is None else str(row[name])
    return pa.schema(list(columns.items()))


def _kind(values: list[Any]) -> "pa.DataType":
    """The narrowest type that holds all values."""
    import pyarrow as pa

    found = {type(value) for value in values if value is not None}
    if found == {int} and all(-(2**63) <= value < 2**63 for value in values if value is not None):
        return pa.int64()
    kinds = {frozenset({bool}): pa.bool_(), frozenset({float}): pa.float64(), frozenset(): pa.null()}
    kinds[frozenset({int, float})] = pa.float64()
    return kinds.get(frozenset(found), pa.string())


def _common(types: "set[pa.DataType]") -> "pa.DataType":
    import pyarrow as pa

    types = types - {pa.null()}
    if len(types) == 1:
        return next(iter(types))
    return pa.float64() if types == {pa.int64(), pa.float64()} else pa.string()


def _cast(table: "pa.Table", schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    missing = [f for f in schema if f.name not in table.column_names]
    for field in missing:
        table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(schema.names).cast(schema)
