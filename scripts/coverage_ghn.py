"""How much of 60 public architectures a graph hypernetwork writes, and at what scale.

    python scripts/coverage_ghn.py --json OUT [--checkpoint FOLDER] [--only 'timm *']

Small models of tests/corpus (torch, PyG, transformers, timm; the extra ``corpus``) and full-sized ones: all parameters
have to stand in the report, 95% of their numbers and of their tensors predicted, the forward pass finite, and the root
mean square of every module's output within 10x of that under the module's own initialisation, on other inputs than the
prediction saw. Without a checkpoint the hypernetwork is an
untrained GHN-2 of a fixed seed: what is written, and at what scale, does not depend on training.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import _results
import torch
from _ghn_architectures import Architecture, architectures
from _ghn_levels import compared, levels

import hypernets

Row = dict[str, Any]
SHARE, TIMES = 0.95, 10.0


def main(arguments: list[str] | None = None) -> None:
    given = parsed(arguments)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="the hypernetwork is untrained")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    torch.manual_seed(0)
    ghn = hypernets.load(given.checkpoint) if given.checkpoint else hypernets.create("ghn2")
    rows = [checked(ghn, a) for a in architectures() if fnmatch.fnmatch(a.name, given.only)]
    counts = counted(rows)
    _results.show(counts)
    _results.finish(given.json, counts, seed=0, models=rows)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="OUT", help="file for the figures")
    parser.add_argument("--checkpoint", metavar="FOLDER", help="a trained hypernetwork")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="architectures whose name matches")
    return parser.parse_args(arguments)


def checked(ghn: Any, architecture: Architecture) -> Row:
    """The row of one architecture; an error is its ``failed``."""
    begun = time.process_time()
    try:
        row = measured(ghn, architecture)
    except (ValueError, RuntimeError, ImportError, TypeError) as error:
        row = {"failed": f"{type(error).__name__}: {error}"[:300]}
    row = {"model": architecture.name, **row, "cpu_seconds": round(time.process_time() - begun, 2)}
    print({k: v for k, v in row.items() if k != "kept"}, flush=True)
    return row


def measured(ghn: Any, architecture: Architecture) -> Row:
    torch.manual_seed(0)
    module, seen, fresh = architecture.make()
    module.eval()
    own = levels(module, fresh)
    weights, report = ghn.predict(module, *seen)
    module.load_state_dict(weights)
    ratios = compared(own, levels(module, fresh))
    names = {name for name, _ in module.named_parameters()}
    return {
        "parameters": report.parameters,
        "reported": len(names & {row.name for row in report.rows}) / max(1, len(names)),
        "predicted": report.share,
        "tensors_predicted": report.tensors_predicted / max(1, len(names)),
        "rescaled": sum(row.rescaled != 1.0 for row in report.rows),
        "tiled": sum(max(row.tiled) > 1 for row in report.rows),
        **ratios,
        "kept": {row.name: row.reason for row in report.rows if row.reason},
    }


def counted(rows: list[Row]) -> list[Row]:
    """How many of the architectures pass."""
    done = [row for row in rows if "failed" not in row]
    some = len(rows)
    passing = {
        "every parameter stands in the report": [r for r in done if r["reported"] == 1],
        "at least 95% of the parameters predicted": [r for r in done if r["predicted"] >= SHARE],
        "at least 95% of the parameter tensors predicted": [r for r in done if r["tensors_predicted"] >= SHARE],
        "finite forward pass": [r for r in done if r["finite"]],
        "scale of the output within 10x of the own rule": [r for r in done if within(r["output"])],
        "scale of every module within 10x of the own rule": [r for r in done if r["worst"] <= TIMES],
    }
    return [
        _results.row("architectures", some, "models", at_least=60),
        *(_results.row(what, len(found), "models", at_least=some) for what, found in passing.items()),
        _results.row("all parameters", sum(r["parameters"] for r in done), "numbers"),
    ]


def within(ratio: float | None) -> bool:
    return ratio is None or 1 / TIMES <= ratio <= TIMES


if __name__ == "__main__":
    main()
