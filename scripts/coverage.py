"""How much of the public corpus becomes a certified parameter graph.

    python scripts/coverage.py --corpus torch|pyg|transformers|timm|all --json OUT
    python scripts/coverage.py --list FILE --json OUT

Every model of tests/corpus/*.txt is built, traced, certified on three fresh inputs with three symmetries each, and
restored, in a process of its own. A line of FILE is ``module:factory  SHAPE [SHAPE ...]``, such as ``nets:small
1,3,32,32``. Rows are kept in OUT's ``.jsonl`` as they come; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import importlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import _checks
import _results
import torch
from _sandbox import Child, Limits
from tqdm import tqdm

from graphs.durable import append_durably, write_durably

ROOT = Path(__file__).resolve().parents[1]
CORPORA = ("torch", "pyg", "transformers", "timm")
LIBRARIES = ("torch", "torch-geometric", "transformers", "timm")
Row = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """One model of a corpus and how to build it."""

    corpus: str
    name: str
    build: Callable[[], Any]


def main(arguments: list[str] | None = None) -> None:
    given = parsed(arguments)
    torch.set_num_threads(1)
    _checks.warm()
    models = [m for m in chosen(given) if given.only is None or fnmatch.fnmatch(m.name, given.only)]
    if not models:
        raise SystemExit(f"no model matches --only {given.only!r}; the names stand in tests/corpus/*.txt")
    rows = run(
        models, Path(given.json).with_suffix(".jsonl"), given.workers, Limits(given.limit_seconds, given.limit_gb)
    )
    counts = counted(rows)
    _results.write(given.json, counts, seed=0, models=rows)
    _results.show(counts)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", choices=(*CORPORA, "all"), help="which public models")
    parser.add_argument("--list", metavar="FILE", help="models of your own, one a line")
    parser.add_argument("--json", required=True, metavar="OUT", help="file for the figures")
    parser.add_argument("--only", metavar="PATTERN", help="models whose name matches, such as 'qwen*'")
    parser.add_argument("--sample", action="store_true", help="only the models of tests/corpus/sample.txt")
    parser.add_argument("--workers", type=int, default=2, help="models at a time, one thread each")
    parser.add_argument("--limit-seconds", type=float, default=120, help="of a model")
    parser.add_argument("--limit-gb", type=float, default=6, help="of a model")
    given = parser.parse_args(arguments)
    if not given.corpus and not given.list:
        parser.error("expected --corpus or --list, got neither; --corpus all is everything public")
    return given


# ---- which models


def chosen(given: argparse.Namespace) -> Iterator[Model]:
    sys.path[:0] = [str(ROOT / "tests"), "."]
    if given.list:
        yield from listed(Path(given.list))
    sample = set((ROOT / "tests/corpus/sample.txt").read_text().splitlines()) if given.sample else None
    for corpus in CORPORA if given.corpus == "all" else [given.corpus] if given.corpus else []:
        for model in pinned(corpus):
            if sample is None or f"{corpus} {model.name}" in sample:
                yield model


def pinned(corpus: str) -> Iterator[Model]:
    """The models of tests/corpus/CORPUS.txt, built by the file there that is named after it."""
    builder = importlib.import_module(f"corpus.{corpus}_models")
    builder.warm()
    for name in (ROOT / "tests" / "corpus" / f"{corpus}.txt").read_text().split():
        yield Model(corpus, name, lambda name=name: builder.build(name))


def listed(path: Path) -> Iterator[Model]:
    """The models of a user's file; ``#`` begins a comment."""
    from corpus.own_models import build

    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split("#")[0].split()
        if len(words) == 1:
            raise SystemExit(f"{path}:{number}: expected 'module:factory SHAPE ...', got {line!r}; add an input shape")
        if words:
            yield Model("own", words[0], lambda words=words: build(*words))


# ---- running them


def run(models: list[Model], path: Path, workers: int, limits: Limits) -> list[Row]:
    """A row a model, in order; rows that the file already has from the same code and libraries are not made again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = fingerprint()
    done = {(r["corpus"], r["model"]): r for r in kept(path) if r["made"] == made}
    waiting = [m for m in models if (m.corpus, m.name) not in done]
    running: list[tuple[Model, Child]] = []
    with tqdm(total=len(models), initial=len(models) - len(waiting), unit="model", mininterval=1.0) as bar:
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    model = waiting.pop(0)
                    running.append((model, Child(lambda report, m=model: _checks.check(m.build, report), limits)))
                for model, child in [pair for pair in running if pair[1].finished()]:
                    running.remove((model, child))
                    row = {"corpus": model.corpus, "model": model.name, **finished(child.row), "made": made}
                    append_durably(path, (json.dumps(row) + "\n").encode())
                    done[model.corpus, model.name] = row
                    bar.update()
                time.sleep(0.005)
        finally:
            for _, child in running:
                child.stop()
    return [{k: v for k, v in done[m.corpus, m.name].items() if k != "made"} for m in models]


def kept(path: Path) -> list[Row]:
    """The rows of a file; the piece of one that was being written when the run was killed is cut off."""
    if not path.exists():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        write_durably(path, whole)
    return [json.loads(line) for line in whole.splitlines()]


def fingerprint() -> str:
    """What a row depends on: versions of the libraries, and the code that makes it."""
    digest = hashlib.sha256()
    for pattern in ("graphs/**/*.py", "tests/corpus/*.py", "scripts/_checks.py"):
        for file in sorted(ROOT.glob(pattern)):
            digest.update(file.read_bytes())
    return " ".join([*(f"{name} {installed(name)}" for name in LIBRARIES), digest.hexdigest()[:12]])


def installed(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"


def finished(row: Row) -> Row:
    """The row with the outcome in one word or two."""
    if not row.get("instantiated"):
        status = "not instantiated"
    elif row.get("certified") is False:
        status = "wrong certificate"
    else:
        status = "certified" if row.get("certified") else row["stopped"]
    row = {"instantiated": False, "traced": False, "certified": False, **row, "status": status}
    return {key: value for key, value in row.items() if key not in ("stage", "stopped")}


# ---- counting them


def counted(rows: list[Row]) -> list[Row]:
    """The counts of each corpus, and the shares that have a bound over all of them."""
    counts = []
    for corpus in dict.fromkeys(row["corpus"] for row in rows):
        counts += [_results.row(f"{corpus}: {what}", n, "models") for what, n in tally(rows, corpus).items()]
    total = tally(rows)
    share = {"certified": total["certified"] / max(1, total["instantiated"])}
    share["covered"] = total["certified, 90% covered"] / max(1, total["certified"])
    share["restored"] = total["restored bit for bit"] / max(1, total["traced"])
    return [
        *counts,
        _results.row("certified, of what can be instantiated", share["certified"], "share", at_least=0.95),
        _results.row("wrong certificates", total["wrong certificate"], "models", at_most=0),
        _results.row("at least 90% in non-trivial orbits, of the certified", share["covered"], "share", at_least=0.85),
        _results.row("restored bit for bit, of the traced", share["restored"], "share", at_least=1.0),
    ]


def tally(rows: list[Row], corpus: str | None = None) -> dict[str, int]:
    """How many models of a corpus came how far."""
    some = [row for row in rows if corpus in (None, row["corpus"])]
    status = Counter(row["status"] for row in some)
    return {
        "models": len(some),
        "instantiated": sum(row["instantiated"] for row in some),
        "traced": sum(row["traced"] for row in some),
        "certified": status["certified"],
        "certified, 90% covered": sum(row["certified"] and row["coverage"] >= 0.9 for row in some),
        "wrong certificate": status["wrong certificate"],
        "timed out": status["timed out"],
        "out of memory": status["out of memory"],
        "failed": status["failed"] + status["crashed"],
        "restored bit for bit": sum(row.get("round_trip") is True for row in some),
    }


if __name__ == "__main__":
    main()
