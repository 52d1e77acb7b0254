"""What is in a zoo, and whether it is whole."""

from collections import Counter
from pathlib import Path
from typing import Any

from zoo.manifest import fault
from zoo.planning import plan
from zoo.store import Store, open_zoo
from zoo.topologies import read_recipes

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def info(root: str | Path) -> dict[str, Any]:
    """Counts, metrics, trainers, versions and size of a zoo, complete or not.

    Metrics are quantiles over the last states of the networks that did not diverge; ``size`` is in bytes.
    """
    zoo = open_zoo(root)
    table, header = zoo.table, zoo.store.manifest.header
    imported = zoo.store.imported
    planned = len(zoo) if imported else len(plan(zoo.spec, zoo.store.manifest.facts).members)
    return {
        "folder": str(root),
        "complete": bool(zoo.store.manifest.files),
        "members": len(zoo),
        "planned": planned,
        "imported": imported,
        "states": len(zoo.samples()),
        "shards": len(zoo.store.manifest.shards),
        "architectures": len(set(table["architecture"].to_pylist())),
        "families": _counts(table["family"].to_pylist()),
        "status": _counts(table["status"].to_pylist()),
        "splits": _counts(table["split"].to_pylist()),
        "trainers": trainers_of(header, table),
        "topologies": _topologies(Path(root)),
        "metrics": _metrics(zoo.filter(status="ok").table),
        "data": header["data"],
        "versions": header["versions"],
        "spec": header["spec"],
        "size": sum(path.stat().st_size for path in Path(root).rglob("*") if path.is_file()),
        "train_seconds": round(sum(row["seconds"] for row in zoo.store.manifest.shards.values()), 3),
    }


def _counts(values: list[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def trainers_of(header: dict[str, Any], table: Any) -> list[dict[str, Any]]:
    """How many networks each trainer made, why it was chosen, and the stack's size and the device where it has them."""
    chosen = Counter()
    for architecture, count in Counter(table["architecture"].to_pylist()).items():
        chosen[tuple(sorted(header["trainers"][architecture].items()))] += count
    rows = [{**dict(facts), "members": n} for facts, n in chosen.items()]
    return sorted(rows, key=lambda row: (row["name"], row["why"], row.get("stack", 0)))


def _topologies(root: Path) -> dict[str, Any]:
    """How many topologies were traced, and why others could not be."""
    rows = read_recipes(root).values()
    reasons = Counter(f"{row['recipe']['factory']}: {row['untraceable']}" for row in rows if "untraceable" in row)
    return {"traced": len({row["topology"] for row in rows if "topology" in row}), "untraceable": dict(reasons)}


def _metrics(table: Any) -> dict[str, dict[str, float]]:
    import numpy as np
    import pyarrow as pa

    names = [f.name for f in table.schema if f.type == pa.list_(pa.float64())]
    last = {name: [v[-1] for v in table[name].to_pylist() if v is not None and v[-1] == v[-1]] for name in names}
    return {
        n: dict(zip(map(str, QUANTILES), np.quantile(v, QUANTILES).tolist(), strict=True)) for n, v in last.items() if v
    }


def verify(root: str | Path) -> list[str]:
    """What is wrong with a zoo's files, one sentence each; empty when all is well.

    Every acknowledged shard and derived file is read and compared with its checksum. A zoo that is not complete yet is
    not at fault for that.
    """
    store = Store(root)
    manifest = store.manifest
    problems = [f"manifest.jsonl: line {number} cannot be read" for number in manifest.damaged]
    records = {row["file"]: row for row in manifest.shards.values()} | manifest.files
    problems += [f"{name} {wrong}" for name, record in records.items() if (wrong := fault(store.root, name, record))]
    if store.imported is None and store.spec.digest != manifest.header["spec"]:
        problems.append("spec.yaml is not the spec that the zoo was begun with")
    return problems
