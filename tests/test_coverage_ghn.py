"""The coverage run of graph hypernetworks on the networks that need no further library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "coverage_ghn.py"


def test_own_networks_are_written_in_full(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    run = [sys.executable, str(SCRIPT), "--only", "own *", "--json", str(out)]
    done = subprocess.run(run, capture_output=True, text=True, env={"PYTHONPATH": str(SCRIPT.parents[1])})
    # Two are not sixty.
    assert done.returncode == 1
    assert "a bound does not hold" in done.stderr
    found = json.loads(out.read_text())
    rows = {row["model"]: row for row in found["models"]}
    assert rows.keys() == {"own unet", "own lstm"}
    for row in rows.values():
        assert (row["reported"], row["predicted"], row["finite"], row["kept"]) == (1, 1, True, {})
        assert 1 <= row["worst"] <= 10
    verdicts = {row["what"]: row["holds"] for row in found["rows"]}
    assert verdicts.pop("architectures") is False
    assert all(holds is not False for holds in verdicts.values())
