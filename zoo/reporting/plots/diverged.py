"""The networks whose training diverged, with their hyper-parameters."""

from typing import TYPE_CHECKING

from zoo.reporting.section import Part, Section, Table, Text
from zoo.reporting.words import amount

if TYPE_CHECKING:
    import numpy as np

    from zoo.reporting.survey import Survey

ROWS = 100
SHARES = 10


def section(survey: "Survey") -> Section:
    """The section."""
    lead = (
        "Networks with a weight or a loss that is not finite in a kept state: they are left out of every plot on this "
        "page, and the settings that they share are the ones to leave out of a next zoo."
    )
    return Section("diverged", "Diverged networks", lead, tuple(_parts(survey)))


def _parts(survey: "Survey") -> list[Part]:
    import numpy as np

    lost = np.flatnonzero(~survey.ok)
    if not len(lost):
        return [Text("None.")]
    told = f"{len(lost):,} of {amount(len(survey), 'network')} ({len(lost) / len(survey):.1%}) diverged."
    listed = f" The first {ROWS} are listed." if len(lost) > ROWS else ""
    heads = ("network", "recipe", f"lost at {survey.unit}", *(f.title for f in survey.features))
    rows = [
        _row(survey, row, epoch)
        for row, epoch in zip(lost[:ROWS].tolist(), lost_epochs(survey, lost[:ROWS]), strict=True)
    ]
    return [Text(told + listed), *_shares(survey), Table("Diverged networks", heads, rows)]


def _row(survey: "Survey", row: int, epoch: str) -> tuple[str, ...]:
    one = survey.table.slice(row, 1).to_pylist()[0]
    return (one["id"], one["family"], epoch, *(f.words[row] for f in survey.features))


def lost_epochs(survey: "Survey", rows: "np.ndarray") -> list[str]:
    """The first kept epoch of each network at which its score is not finite."""
    import numpy as np

    if survey.score is None:
        return ["unknown"] * len(rows)
    bad = ~np.isfinite(survey.curves(survey.score.name)[rows])
    return [str(survey.epochs[own.argmax()]) if own.any() else "unknown" for own in bad]


def _shares(survey: "Survey") -> list[Part]:
    """Where networks diverge most, of every division into groups."""
    rows = []
    for grouping in survey.groupings[:-1]:
        for number, label in enumerate(grouping.labels):
            own = ~survey.ok[grouping.members == number]
            if own.any():
                rows.append((own.mean(), grouping.title, label, f"{own.sum():,} of {len(own):,}", f"{own.mean():.1%}"))
    rows = sorted(rows, key=lambda row: -row[0])[:SHARES]
    heads = ("setting", "value", "diverged", "share")
    return [Table("Where most of them lie", heads, [row[1:] for row in rows])]
