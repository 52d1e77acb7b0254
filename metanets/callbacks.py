"""What listens to a run: functions that take one record, a dict with ``event``, ``step``, ``seconds`` and figures.

``fit`` calls each with ``event`` "start" (step 0, or the step resumed from), "train" (loss, lr, steps_per_second),
"val" (the task's metrics) and "end".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from graphs.durable import write_durably

Record = Mapping[str, Any]
Callback = Callable[[Record], None]


class JsonlLog:
    """One JSON line a record in ``path``; a resumed run first drops the lines after the step it resumes from."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __call__(self, record: Record) -> None:
        if record["event"] == "start":
            self._rewind(record["step"])
        with open(self.path, "a") as file:
            file.write(json.dumps(dict(record)) + "\n")

    def _rewind(self, step: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [row for row in read_log(self.path) if row["step"] <= step and row["event"] != "end"] if step else []
        write_durably(self.path, "".join(json.dumps(row) + "\n" for row in kept).encode())


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The records of a JsonlLog; a last line cut short by a kill is left out."""
    lines = Path(path).read_text().splitlines(keepends=True) if Path(path).exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


class TensorBoard:
    """Every number of every record as a TensorBoard scalar ``<event>/<name>`` in ``folder``."""

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard logs need the package tensorboard, which is not installed: "
                "pip install 'metazoo[tb]', or leave this callback out"
            ) from error
        self.writer = SummaryWriter(str(folder))

    def __call__(self, record: Record) -> None:
        for name, value in record.items():
            if isinstance(value, int | float) and name != "step":
                self.writer.add_scalar(f"{record['event']}/{name}", value, record["step"])
        if record["event"] == "end":
            self.writer.close()
