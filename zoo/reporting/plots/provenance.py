"""Where a zoo comes from: spec, data, versions, trainers, seeds, checksums."""

from typing import TYPE_CHECKING

from zoo.reporting.section import Listing, Part, Section, Table
from zoo.reporting.words import amount

if TYPE_CHECKING:
    from zoo.reporting.survey import Survey

LISTED = 500


def section(survey: "Survey") -> Section:
    """The section."""
    lead = (
        "What decides every bit of this zoo: the same spec, data, trainer and versions give the same weights again, "
        "and the checksums tell whether the files are still those."
    )
    return Section("provenance", "Provenance", lead, tuple(_parts(survey)))


def _parts(survey: "Survey") -> list[Part]:
    from zoo.report import info

    zoo, report = survey.zoo.store, info(survey.zoo.root)
    trainers = [(row["name"], f"{row['members']:,}", row["why"]) for row in report["trainers"]]
    return [
        Table("Origin", ("what", "value"), _origin(survey, report)),
        Table("Trainers", ("trainer", "networks", "why"), trainers),
        Listing("The spec, as YAML", zoo.spec.to_yaml()),
        Listing("Checksums (sha256) in the manifest", _checksums(survey)),
    ]


def _origin(survey: "Survey", report: dict) -> list[tuple[str, str]]:
    import numpy as np

    versions = dict(report["versions"])
    machine = {name: versions.pop(name) for name in ("cpu", "threads") if name in versions}
    seeds = len(np.unique(survey.numbers("seed")))
    return [
        ("data", f"{report['data']['name']}, fingerprint {report['data']['fingerprint']}"),
        ("spec", f"digest {report['spec']}"),
        ("seeds", f"{survey.zoo.spec.seed} of the zoo; {seeds:,} different among {amount(len(survey), 'network')}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("machine", ", ".join(f"{name} {value}" for name, value in machine.items()) or "not recorded"),
        ("training time", f"{report['train_seconds']:,.0f} s, summed over the shards"),
        ("this page", f"at most {survey.limit:,} networks drawn one by one, chosen with seed {survey.seed}"),
    ]


def _checksums(survey: "Survey") -> str:
    manifest = survey.zoo.store.manifest
    records = {row["file"]: row for row in manifest.shards.values()} | manifest.files
    lines = [f"{record['sha256']}  {name}" for name, record in sorted(records.items())]
    return "\n".join(
        lines[:LISTED] + ([f"... {len(lines) - LISTED} more in the manifest"] if len(lines) > LISTED else [])
    )
