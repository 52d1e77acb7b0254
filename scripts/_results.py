"""The JSON file in which every script leaves its figures."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from graphs.durable import write_durably


def row(
    what: str, value: float, unit: str, at_least: float | None = None, at_most: float | None = None
) -> dict[str, Any]:
    """One figure, with the bound it has to hold if there is one.

    >>> row("speed", 2.0, "x", at_least=1.4)
    {'what': 'speed', 'value': 2.0, 'unit': 'x', 'bound': '>= 1.4', 'holds': True}
    """
    bounds = [(">=", at_least, lambda v, b: v >= b), ("<=", at_most, lambda v, b: v <= b)]
    given = [(f"{sign} {bound:g}", bool(holds(value, bound))) for sign, bound, holds in bounds if bound is not None]
    text = " and ".join(text for text, _ in given) or None
    return {
        "what": what,
        "value": value,
        "unit": unit,
        "bound": text,
        "holds": all(h for _, h in given) if given else None,
    }


def write(path: str | Path, rows: list[dict[str, Any]], seed: int, **more: list[dict[str, Any]]) -> None:
    """Write ``{"date", "machine", "seed", "rows", **more}``, whole or not at all; missing folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "seed": seed,
        "rows": rows,
        **more,
    }
    write_durably(path, _text(content).encode())


def _text(content: dict[str, Any]) -> str:
    """JSON with an element of a list a line."""
    parts = []
    for key, value in content.items():
        lines = ",\n  ".join(json.dumps(v) for v in value) if isinstance(value, list) else ""
        parts.append(f" {json.dumps(key)}: " + (f"[\n  {lines}\n ]" if lines else json.dumps(value)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    for r in rows:
        verdict = "" if r["holds"] is None else f"{r['bound']:>10}  {'holds' if r['holds'] else 'FAILS'}"
        print(f"{r['what']:<60} {r['value']:>12.4g} {r['unit']:<14} {verdict}".rstrip())


def finish(path: str | None, rows: list[dict[str, Any]], seed: int, **more: list[dict[str, Any]]) -> None:
    """The end of a benchmark: write the rows if a path is given, exit with an error where one does not hold."""
    if path:
        write(path, rows, seed, **more)
    if any(r["holds"] is False for r in rows):
        raise SystemExit("a bound does not hold; see the rows marked FAILS")


def machine() -> str:
    """Processor, number of cores, system, Python and torch in one line."""
    import torch

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{model}, {os.cpu_count()} cores{gpu}, {platform.system()}, {versions}"
