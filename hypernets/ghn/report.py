"""What became of every parameter of a module: predicted, by what, tiled how often, or why not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

PREDICTED, OWN = "predicted", "own rule"


@dataclass(frozen=True)
class ReportRow:
    """One parameter; a tied one stands once, under its first name.

    Args:
        name: state_dict entry.
        shape: of it.
        by: ``predicted`` or ``own rule``.
        decoder: what wrote it; "" for the own rule.
        tiled: how often the decoded numbers stand side by side in it, along ``(out, in, height, width)``.
        rescaled: factor by which a predicted parameter was brought back to the scale of the own rule; 1 for none.
        reason: of the own rule.
    """

    name: str
    shape: tuple[int, ...]
    by: str
    decoder: str = ""
    tiled: tuple[int, ...] = (1, 1, 1, 1)
    rescaled: float = 1.0
    reason: str = ""

    @property
    def numel(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def remark(self) -> str:
        """The rest in words."""
        words = [self.reason] if self.reason else []
        if max(self.tiled) > 1:
            words.append("tiled " + " x ".join(map(str, self.tiled)).removesuffix(" x 1 x 1"))
        if self.rescaled != 1.0:
            words.append(f"rescaled by {self.rescaled:.3g}")
        return ", ".join(words)


@dataclass(frozen=True)
class Report:
    """A row for every parameter of a module, and what else its owner has to know.

    Args:
        rows: in the order of the module.
        notes: sentences, such as what to do with batch-norm statistics.

    >>> rows = [ReportRow("weight", (2, 3), PREDICTED, "weight"), ReportRow("mask", (2,), OWN, reason="it is int64")]
    >>> report = Report(tuple(rows))
    >>> report.parameters, report.predicted, report.share
    (8, 6, 0.75)
    >>> print(report)
    parameter  shape  by         decoder  remark
    weight     2x3    predicted  weight
    mask       2      own rule            it is int64
    6 of 8 parameters predicted (75.0%), in 1 of 2 tensors
    """

    rows: tuple[ReportRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Numbers in all parameters."""
        return sum(row.numel for row in self.rows)

    @property
    def predicted(self) -> int:
        """Numbers in the predicted ones."""
        return sum(row.numel for row in self.rows if row.by == PREDICTED)

    @property
    def share(self) -> float:
        return self.predicted / self.parameters if self.parameters else 0.0

    @property
    def tensors_predicted(self) -> int:
        return sum(row.by == PREDICTED for row in self.rows)

    def __str__(self) -> str:
        table = [("parameter", "shape", "by", "decoder", "remark")]
        for row in self.rows:
            table.append((row.name, "x".join(map(str, row.shape)) or "scalar", row.by, row.decoder, row.remark))
        return "\n".join([*_aligned(table), self.summary])

    @property
    def summary(self) -> str:
        """The totals and the notes."""
        total = (
            f"{self.predicted:,} of {self.parameters:,} parameters predicted ({self.share:.1%}), "
            f"in {self.tensors_predicted} of {len(self.rows)} tensors"
        )
        return "\n".join([total, *(f"note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        return {
            "parameters": self.parameters,
            "predicted": self.predicted,
            "share": self.share,
            "rows": [asdict(row) for row in self.rows],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1)


def _aligned(table: Iterable[tuple[str, ...]]) -> list[str]:
    rows = list(table)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
