"""The report on a topology as text: a summary, then aligned tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def show(name: str, report: dict[str, Any]) -> str:
    """The text of ``graphs inspect``."""
    tables = [make(report) for make in (_groups, _sites, _blocks, _features, _relations, _scales)]
    return "\n\n".join([_summary(name, report), *(t for t in tables if t)])


def _summary(name: str, report: dict[str, Any]) -> str:
    sizes = report["sizes"]
    counts = ", ".join(f"{sizes[n]:,} {n}" for n in ("groups", "sites", "blocks", "relations"))
    lines = [
        name,
        f"graph        {sizes['nodes']:,} nodes, {sizes['edges']:,} edges, {sizes['parameters']:,} parameters",
        f"structure    {counts}",
        f"edge_index   {_bytes(sizes['edge_index_bytes_avoided'])} avoided: edges are boxes of the flat weights",
        f"symmetries   10^{sizes['log10_group_order']:.1f} permutations of neurons leave the function unchanged",
    ]
    pinned = [f"{row['neurons']} neurons by {row['what']} ({row['reason']})" for row in report["pinned"]]
    certificate = [] if report["certificate"] is None else _certificate(report["certificate"])
    return "\n".join([*lines, *_named("certificate", certificate), *_named("pinned", pinned or ["nothing"])])


def _named(name: str, lines: Sequence[str]) -> list[str]:
    """Lines under one name."""
    return [f"{'' if i else name:<13}{line}" for i, line in enumerate(lines)]


def _certificate(row: dict[str, Any]) -> list[str]:
    if "reason" in row:
        return [f"NONE: {row['reason']}"]
    error = "not finite" if row["max_error"] is None else f"{row['max_error']:.1e}"
    verdict = "passed" if row["passed"] else "REFUTED, please report the network"
    lines = [f"{verdict}: max error {error}, {row['coverage']:.1%} of the parameters move"]
    if row["scales"] or row["signs"]:
        lines.append(f"{row['scales']:,} positive factors and {row['signs']:,} signs are free")
    if row["paths"] > 1:
        lines += [f"{row['paths']} paths through the network, as the inputs choose", *row["branches"]]
    return lines + [f"random: {step}; every run drew the same numbers" for step in row["random"]]


def _groups(report: dict[str, Any]) -> str:
    rows = [(i, g["size"], g["kind"], _or_dash(g["parent"]), _some(g["sites"])) for i, g in enumerate(report["groups"])]
    return _table("groups", ("id", "size", "kind", "parent", "at sites"), rows)


def _sites(report: dict[str, Any]) -> str:
    rows = [
        (i, s["layer"], s["size"], s["kind"], _listed(s["groups"]), s["activation"], s["path"] or "-")
        for i, s in enumerate(report["sites"])
    ]
    return _table("sites", ("id", "layer", "size", "kind", "groups", "activation", "path"), rows)


def _blocks(report: dict[str, Any]) -> str:
    rows = [
        (f"{b['source']} -> {b['target']}", b["kind"], f"{b['edges']:,}", _product(b["taps"]), b["parameter"])
        for b in report["blocks"]
        if b["source"] is not None
    ]
    return _table("blocks: weights between sites", ("sites", "kind", "edges", "taps", "parameter"), rows)


def _features(report: dict[str, Any]) -> str:
    """Parameters that are no edges, a line a site."""
    found: dict[Any, list[str]] = {}
    for block in (b for b in report["blocks"] if b["source"] is None):
        module, _, name = block["parameter"].rpartition(".")
        found.setdefault((block["target"], module), []).append(name)
    rows = [("graph" if s is None else s, f"{module}: {_listed(names)}") for (s, module), names in found.items()]
    return _table("features: parameters of the neurons of a site", ("site", "parameters"), rows)


def _relations(report: dict[str, Any]) -> str:
    rows = [(f"{r['source']} -> {r['target']}", r["kind"], f"{r['edges']:,}") for r in report["relations"]]
    return _table("relations: edges without weights", ("sites", "kind", "edges"), rows)


def _scales(report: dict[str, Any]) -> str:
    """What a neuron of a group may multiply by its factor s."""
    rows = [(s["group"], s["factor"], _listed(_slices(s["slices"]))) for s in report["scales"] or []]
    return _table("scales: factors s of a neuron that cancel", ("group", "factor", "parameters"), rows)


def _slices(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Each parameter with its power of s; with its rank where a parameter takes part more than once."""
    names = [row["parameter"] for row in rows]
    ranks = [f"[{row['rank']}]" if names.count(row["parameter"]) > 1 else "" for row in rows]
    return [f"{row['parameter']}{rank} {_power(row['exponent'])}" for row, rank in zip(rows, ranks, strict=True)]


def _power(exponent: int) -> str:
    operator = "*" if exponent > 0 else "/"
    return f"{operator} s" if abs(exponent) == 1 else f"{operator} s^{abs(exponent)}"


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligned columns: numbers to the right, words to the left; nothing where there are no rows."""
    if not rows:
        return ""
    cells = [list(heads), *([str(v) for v in row] for row in rows)]
    columns = []
    for head, *values in zip(*cells, strict=True):
        width = max(len(v) for v in (head, *values))
        right = all(v.replace(",", "").isdigit() for v in values) and head != "groups"
        columns.append([v.rjust(width) if right else v.ljust(width) for v in (head, *values)])
    return "\n".join([title, *("  " + "  ".join(line).rstrip() for line in zip(*columns, strict=True))])


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(str(v) for v in values) or "-"


def _some(values: Sequence[int], most: int = 12) -> str:
    """The first of many."""
    return _listed(values) if len(values) <= most else f"{_listed(values[:most])}, ... ({len(values)} sites)"


def _product(values: Sequence[int]) -> str:
    return "x".join(str(v) for v in values) or "-"


def _or_dash(value: Any) -> str:
    return "-" if value is None else str(value)


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
