"""A fixed sample of the public corpus is certified and restored; the coverage run stops, goes on and limits as told."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from torch import nn

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]
import _checks  # noqa: E402
import coverage  # noqa: E402

SAMPLE = [tuple(line.split()) for line in (ROOT / "tests/corpus/sample.txt").read_text().splitlines()]
NETS = """
import time
import torch
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))

def slow():
    time.sleep(60)

def large():
    return nn.Linear(40000, 40000)

def broken():
    return nn.Linear(5, 2)
"""


@pytest.mark.parametrize(("corpus", "name"), SAMPLE, ids=["-".join(pair) for pair in SAMPLE])
def test_the_sample_is_certified(corpus: str, name: str) -> None:
    if corpus in ("transformers", "timm") and importlib.util.find_spec(corpus) is None:
        pytest.skip(f"{corpus} is not installed; pip install -e '.[corpus]'")
    models = importlib.import_module(f"corpus.{corpus}_models")
    models.warm()
    row: dict[str, Any] = {}
    _checks.check(lambda: models.build(name), row.update)
    assert row["certified"], row
    assert row["round_trip"]


def test_the_sample_is_of_the_pinned_lists() -> None:
    assert len(set(SAMPLE)) == 60
    for corpus in coverage.CORPORA:
        names = (ROOT / "tests/corpus" / f"{corpus}.txt").read_text().split()
        assert len(names) == len(set(names))
        assert {name for c, name in SAMPLE if c == corpus} <= set(names)


@pytest.mark.parametrize("corpus", ["torch", "pyg", "timm"])
def test_every_pinned_model_has_a_builder(corpus: str) -> None:
    models = importlib.import_module(f"corpus.{corpus}_models")
    assert list(models.MODELS) == (ROOT / "tests/corpus" / f"{corpus}.txt").read_text().split()


def test_the_parametrised_classes_of_torch_are_pinned() -> None:
    """Every class of torch.nn whose code, or that of a base, makes a parameter or a module that has some."""
    makes = re.compile(r"Parameter\(|= (Non|Multi|Transformer)\w+\(|_get_clones\(")
    apart = {"RNNBase", "RNNCellBase", "ParameterList", "ParameterDict", "Module"}
    found = set()
    for name, kind in vars(nn).items():
        if inspect.isclass(kind) and issubclass(kind, nn.Module):
            bases = [c for c in kind.__mro__ if c.__module__.startswith("torch.nn.modules.") and c is not nn.Module]
            found |= {name} if makes.search("".join(map(inspect.getsource, bases))) else set()
    assert len(found) > 40
    assert found - apart <= set((ROOT / "tests/corpus/torch.txt").read_text().split())


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with networks of a user and a list of them."""
    (tmp_path / "own_nets.py").write_text(NETS)
    lines = [
        "own_nets:small  1,3,4,4  # fine",
        "",
        "own_nets:slow  1,3",
        "own_nets:large  1,40000",
        "own_nets:broken 1,3",
    ]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    return tmp_path


def command(folder: Path, *more: str) -> list[str]:
    script = str(ROOT / "scripts" / "coverage.py")
    return [sys.executable, script, "--list", "list.txt", "--json", "out/own.json", "--limit-seconds", "8", *more]


def run(folder: Path, *more: str) -> dict[str, dict[str, Any]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command(folder, *more), cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {row["model"].split(":")[1]: row for row in json.loads((folder / "out/own.json").read_text())["models"]}


def test_a_list_of_own_networks_with_limits(own: Path) -> None:
    rows = run(own, "--limit-gb", "2")
    assert rows["small"]["status"] == "certified"
    assert rows["small"]["round_trip"] is True
    assert rows["small"]["coverage"] > 0.9
    assert rows["slow"]["status"] == "not instantiated"
    assert rows["slow"]["reason"] == "not done after 8 s, at: building"
    assert rows["large"]["reason"] == "needs more than 2 GB"
    assert "mat1 and mat2" in rows["broken"]["reason"]
    counts = {row["what"]: row["value"] for row in json.loads((own / "out/own.json").read_text())["rows"]}
    assert counts["own: models"] == 4
    assert counts["own: instantiated"] == counts["own: certified"] == 1
    assert counts["certified, of what can be instantiated"] == 1.0


def test_a_killed_run_goes_on(own: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(command(own, "--workers", "1"), cwd=own, env=environment, stderr=subprocess.DEVNULL)
    kept = own / "out" / "own.jsonl"
    while not (kept.exists() and kept.read_bytes().endswith(b"\n")):
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = kept.read_text()
    assert len(before.splitlines()) == 1
    kept.write_text(before + '{"corpus": "own", "mod')  # the line that was being written
    rows = run(own, "--limit-gb", "2", "--only", "*:[sb][mr]*")
    lines = kept.read_text().splitlines()
    assert lines[0] == before.strip()
    assert rows.keys() == {"small", "broken"}
    assert rows["small"]["seconds"] == json.loads(before)["seconds"]
