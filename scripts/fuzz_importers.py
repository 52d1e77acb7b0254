"""Mutated foreign zoos: each is imported cleanly or refused with a clear error, runs no code and leaves nothing behind.

    python scripts/fuzz_importers.py --cases 5000 --json OUT

A small zoo of every format is written in its published layout; a case copies one, breaks it in one to three ways (bit
flips, truncation, edited headers, renamed, duplicated and swapped files, pickles with code, bombs, names that lead out)
and imports it. Cases follow from the seed alone.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import _results
import numpy as np
import torch
from _foreign_zoos import WRITERS
from _mutations import CANARY, MUTATIONS
from tqdm import tqdm

import zoo
from zoo.importers import import_zoo, writing

SLOWEST_SECONDS = 20.0
MOST_MEMORY = 2.0
RUNS_CODE = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "os.fork", "socket.connect", "exec")


@dataclass(frozen=True)
class Case:
    """One case and what came of it: imported, refused, or what was wrong."""

    number: int
    format: str
    mutations: tuple[str, ...]
    outcome: str
    seconds: float


class Watch:
    """Notes calls that only a file's own code would make, while it is on."""

    def __init__(self) -> None:
        self.on, self.seen = False, []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        # A module that is imported for the first time is executed too, from a file of its own.
        named = getattr(arguments[0], "co_filename", "<call>") if event == "exec" else "<call>"
        if self.on and event in RUNS_CODE and named.startswith("<") and not named.startswith("<frozen"):
            self.seen.append(f"{event} {str(arguments[0])[:100]}")


def run_case(number: int, seed: int, templates: Path, folder: Path, watch: Watch) -> Case:
    """Break one zoo and import it."""
    rng = random.Random(f"{seed}/{number}")
    format = list(WRITERS)[number % len(WRITERS)]
    names = tuple(rng.choices(list(MUTATIONS), k=rng.choice((1, 1, 1, 2, 3))))
    shutil.copytree(templates / format, folder / "source")
    for name in names:
        try:
            MUTATIONS[name](folder / "source", rng)
        except (OSError, IndexError, ValueError, zipfile.BadZipFile) as error:
            # Nothing is left to break, such as a folder without files.
            names = (*names, f"skipped {name}: {type(error).__name__}")
    began = time.perf_counter()
    outcome = _outcome(format, folder, watch)
    return Case(number, format, names, outcome, time.perf_counter() - began)


def _outcome(format: str, folder: Path, watch: Watch) -> str:
    watch.on, watch.seen = True, []
    try:
        made = import_zoo(format, folder / "source", folder / "zoo", progress=False)
        watch.on = False
        outcome = _read(made)
    except ValueError as error:
        clear = str(folder / "source") in str(error) and len(str(error)) < 3000
        outcome = "refused" if clear else f"WRONG: unclear error {str(error)[:300]!r}"
    # Whatever else is raised is what this looks for.
    except Exception as error:  # noqa: BLE001
        outcome = f"WRONG: {type(error).__name__}: {str(error)[:300]}"
    finally:
        watch.on = False
    left = {path.name for path in folder.iterdir()} - {"source"}
    if CANARY in left or watch.seen:
        return f"WRONG: code was run ({watch.seen})"
    return (
        outcome if left == ({"zoo"} if outcome == "imported" else set()) else f"WRONG: {outcome}, left {sorted(left)}"
    )


def _read(made: zoo.Zoo) -> str:
    """Every network of an imported zoo can be read."""
    if problems := zoo.verify(made.root):
        return f"WRONG: {problems[0]}"
    for member in made:
        if member.trajectory().shape != (len(member.epochs), len(member.flat())) or not member.state_dict():
            return "WRONG: states of another shape"
    return "imported"


def run(cases: int, seed: int, progress: bool = True) -> list[Case]:
    """All cases."""
    # Tracing is deterministic, and the same few architectures come again and again.
    writing.trace_recipes = _trace_once
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    watch, done = Watch(), []
    with tempfile.TemporaryDirectory() as root:
        templates = Path(root) / "templates"
        for format, write in WRITERS.items():
            (templates / format).mkdir(parents=True)
            write(templates / format, np.random.default_rng(seed))
            # What importing itself loads and compiles is not code of a file.
            import_zoo(format, templates / format, Path(root) / "clean" / format, progress=False)
        for number in tqdm(range(cases), disable=not progress):
            folder = Path(root) / "case"
            folder.mkdir()
            done.append(run_case(number, seed, templates, folder, watch))
            shutil.rmtree(folder)
    return done


def _trace_once(recipes: Any) -> dict[str, dict[str, Any]]:
    return {key: row for recipe in sorted(set(recipes)) for key, row in _trace(recipe).items()}


@lru_cache(maxsize=10_000)
def _trace(recipe: str) -> dict[str, dict[str, Any]]:
    from zoo.topologies import trace_recipes

    return trace_recipes([recipe])


def rows(cases: list[Case]) -> list[dict[str, Any]]:
    """Figures with their bounds."""
    counts = Counter(case.outcome.split(":")[0] for case in cases)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [
        _results.row("cases", len(cases), "zoos"),
        _results.row("refused with a clear error", counts["refused"], "zoos"),
        _results.row("imported", counts["imported"], "zoos"),
        _results.row("crashed, ran code, unclear, or left something", counts["WRONG"], "zoos", at_most=0),
        _results.row("slowest case", max(case.seconds for case in cases), "s", at_most=SLOWEST_SECONDS),
        _results.row("peak memory", memory, "GiB", at_most=MOST_MEMORY),
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json")
    options = parser.parse_args(arguments)
    cases = run(options.cases, options.seed)
    for case in cases:
        if case.outcome.startswith("WRONG"):
            print(f"case {case.number}, {case.format}, {', '.join(case.mutations)}: {case.outcome}")
    found = rows(cases)
    _results.show(found)
    _results.finish(options.json, found, options.seed)


if __name__ == "__main__":
    main()
