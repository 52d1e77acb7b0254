"""The report on a topology as text: a summary, then aligned tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def show(name: str, report: dict[str, Any]) -> str:
    """The text of ``graphs inspect``."""
    tables = [_groups(report), _sites(report), _blocks(report), _features(report), _relations(report)]
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
    if report["certificate"] is not None:
        lines.append(f"certificate  {_certificate(report['certificate'])}")
    pinned = [f"{count} neurons by {what}" for what, count in report["pinned"].items()] or ["nothing"]
    return "\n".join([*lines, *(f"{'pinned' if not i else '':<13}{line}" for i, line in enumerate(pinned))])


def _certificate(row: dict[str, Any]) -> str:
    if "reason" in row:
        return f"NONE: {row['reason']}"
    error = "not finite" if row["max_error"] is None else f"{row['max_error']:.1e}"
    verdict = "passed" if row["passed"] else "REFUTED, please report the network"
    return f"{verdict}: max error {error}, {row['coverage']:.1%} of the parameters move"


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
