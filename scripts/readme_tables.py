"""Write the tables of README.md from the figures in scripts/results/.

    python scripts/readme_tables.py [--check]

A table stands between ``<!-- results: NAME -->`` and ``<!-- end -->`` and is made from ``scripts/results/NAME.json``.
With --check nothing is written, and the exit status is 1 where a table is not what its file says.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TABLE = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.S)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether the tables are up to date")
    given = parser.parse_args(arguments)
    readme = ROOT / "README.md"
    old = readme.read_text()
    new = TABLE.sub(lambda match: match[1] + table(match[2]) + match[3], old)
    if given.check:
        return int(new != old)
    readme.write_text(new)
    return 0


def table(name: str) -> str:
    """The rows of one results file as Markdown, with where and when they were measured."""
    path = ROOT / "scripts" / "results" / f"{name}.json"
    if not path.exists():
        raise SystemExit(f"{path} is missing; run scripts/{name}.py --json {path}")
    content = json.loads(path.read_text())
    body = LAYOUTS.get(name, plain)(content["rows"])
    return f"{body}\n\n*{content['date'][:10]}, {content['machine']}, seed {content['seed']}.*\n"


def plain(rows: list[dict[str, Any]]) -> str:
    """A line a figure that has a bound."""
    lines = [
        f"| {r['what']} | {r['value']:.3g} {r['unit']} | {r['bound']} | {'yes' if r['holds'] else '**no**'} |"
        for r in rows
        if r["bound"]
    ]
    return "\n".join(["| | measured | bound | holds |", "|---|---|---|---|", *lines])


def rates(rows: list[dict[str, Any]]) -> str:
    """A line a figure, with its bound where it has one."""
    lines = [f"| {r['what']} | {_number(r['value'])} {r['unit']} | {_bound(r)} |" for r in rows]
    return "\n".join(["| | measured | bound | holds |", "|---|---|---|---|", *lines])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bound(r: dict[str, Any]) -> str:
    return f"{r['bound']} | {'yes' if r['holds'] else '**no**'}" if r["bound"] else " | "


def speed(rows: list[dict[str, Any]]) -> str:
    """Rates and speed-ups a line a trainer of an architecture, then the worst parity and the limits of the core."""
    values = {r["what"]: r for r in rows}
    rate = "networks x samples a second"
    lines = [f"| | {rate} | GFLOP/s of products | speed-up, median | slowest run | bound |", "|---" * 6 + "|"]
    for what in [what for what in values if what.endswith(": one at a time")]:
        case = what.removesuffix(": one at a time")
        lines.append(f"| {case}: plain loop | {values[what]['value']:,.0f} | | 1x | | |")
        for trainer in ("stacked", "native"):
            first = f"{case}: {trainer}"
            each, products, slowest, ratio = (
                values[f"{first}{figure}"] for figure in ("", ", products", ", slowest run", ", speed-up")
            )
            verdict = f"{ratio['bound']}{'' if ratio['holds'] else ', **missed**'}"
            lines.append(
                f"| {first} | {each['value']:,.0f} | {products['value']:.0f} | {ratio['value']:.1f}x "
                f"| {slowest['value']:.1f}x | {verdict} |"
            )
    return "\n".join([*lines, "", _limits(values), "", _parity(rows)])


def _limits(values: dict[str, dict[str, Any]]) -> str:
    found = [f"{what.removeprefix('limit: ')} {r['value']:.0f}" for what, r in values.items() if "limit: " in what]
    return f"The core at its best in the same run, in GFLOP/s: {', '.join(found)}."


def _parity(rows: list[dict[str, Any]]) -> str:
    of_kind = {kind: [r["value"] for r in rows if r["what"].endswith(f": {kind}")] for kind in PARITY}
    told = "; ".join(f"{kind}: {max(found):.1e}" for kind, found in of_kind.items())
    return f"Largest difference of weights to the plain loop, over {len(of_kind[PARITY[0]])} combinations: {told}."


def by_model(rows: list[dict[str, Any]]) -> str:
    """Rows named "model: figure" as a line a model and a column a figure."""
    models: dict[str, dict[str, str]] = {}
    for r in rows:
        model, _, figure = r["what"].partition(": ")
        number = f"{r['value']:,.0f}" if figure in ("parameters", "time") else f"{r['value']:.3f}"
        models.setdefault(model, {})[f"{figure}, {r['unit']}" if r["unit"] else figure] = number
    models = {model: figures for model, figures in models.items() if len(figures) > 1}
    columns = list(dict.fromkeys(c for figures in models.values() for c in figures))
    lines = ["| model | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {m} | " + " | ".join(figures.get(c, "") for c in columns) + " |" for m, figures in models.items()]
    return "\n".join(lines)


def by_split(rows: list[dict[str, Any]]) -> str:
    """Rows "model: split" in per cent as a line a model, then a line a figure that is no accuracy."""
    return f"{accuracies(rows)}\n\n{rates([r for r in rows if r['bound'] or r['unit'] != '%'])}"


def accuracies(rows: list[dict[str, Any]]) -> str:
    """A line a model and a column a split of those rows "model: split" that are in per cent."""
    return grid("accuracy, %", ": ", [r for r in rows if r["unit"] == "%"], ".1f")


def by_property(rows: list[dict[str, Any]]) -> str:
    """Rows "features: tau of property" as a line a set of features, then a line a figure with a bound."""
    found = [r for r in rows if ": tau of " in r["what"]]
    return f"{grid('tau', ': tau of ', found, '.2f')}\n\n{plain(rows)}"


def grid(corner: str, between: str, rows: list[dict[str, Any]], form: str) -> str:
    """Rows whose names are two words with ``between`` between them, a line a first word and a column a second."""
    lines: dict[str, dict[str, str]] = {}
    for r in rows:
        first, _, second = r["what"].partition(between)
        lines.setdefault(first, {})[second] = format(r["value"], form)
    columns = list(next(iter(lines.values())))
    head = f"| {corner} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"
    return "\n".join([*head, *(f"| {first} | {' | '.join(own.values())} |" for first, own in lines.items())])


def counts(rows: list[dict[str, Any]]) -> str:
    """Rows named "corpus: figure" as a line a corpus with their sum, then the shares that have a bound."""
    corpora: dict[str, dict[str, int]] = {}
    for r in rows:
        corpus, colon, figure = r["what"].partition(": ")
        if colon:
            corpora.setdefault(corpus, {})[figure] = int(r["value"])
    columns = list(next(iter(corpora.values())))
    corpora["all"] = {c: sum(figures[c] for figures in corpora.values()) for c in columns}
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(str(figures[c]) for c in columns) + " |" for name, figures in corpora.items()]
    return "\n".join(lines) + "\n\n" + plain(rows)


def kernels(rows: list[dict[str, Any]]) -> str:
    """Times with retained memory as a line an operation and a column a style, then a line a figure that has a bound."""
    operations: dict[str, dict[str, str]] = {}
    for r in rows:
        operation, _, style = r["what"].rpartition(", ")
        if r["unit"] == "ms" and style in KERNEL_STYLES and not operation.startswith("default malloc"):
            operations.setdefault(operation, {})[style] = f"{r['value']:.1f}"
    lines = ["| milliseconds | " + " | ".join(KERNEL_STYLES) + " |", "|---" * (len(KERNEL_STYLES) + 1) + "|"]
    for operation, found in operations.items():
        lines.append(f"| {operation} | " + " | ".join(found.get(style, "") for style in KERNEL_STYLES) + " |")
    return "\n".join([*lines, "", plain(rows)])


KERNEL_STYLES = ("kernels", "PyG", "PyG propagate", "PyG linear first", "index_add", "dense")
PARITY = ("float64, 1 step(s)", "float32, 200 step(s)")
LAYOUTS = {
    "bench_align": by_model,
    "bench_ghn": rates,
    "bench_kernels": kernels,
    "bench_kernels_cuda": kernels,
    "bench_kernels_large": rates,
    "bench_population": speed,
    "bench_store": rates,
    "coverage": counts,
    "finetune_from_prediction": rates,
    "modelzoos": rates,
    "property_prediction": by_property,
    "quickstart": by_model,
    "train_ghn": by_split,
    "train_ghn_cifar10": by_split,
}

if __name__ == "__main__":
    sys.exit(main())
