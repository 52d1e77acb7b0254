"""Where a zoo comes from: spec, data, versions, trainers, seeds, checksums."""

from typing import TYPE_CHECKING, Any

from zoo.report import trainers_of
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
    store = survey.zoo.store
    header = store.manifest.header
    trainers = [(row["name"], f"{row['members']:,}", row["why"]) for row in trainers_of(header, survey.table)]
    spec = [Listing("The spec, as YAML", store.spec.to_yaml())] if header["spec"] else []
    return [
        Table("Origin", ("what", "value"), _origin(survey, header)),
        Table("Trainers", ("trainer", "networks", "why"), trainers),
        *spec,
        Listing("Checksums (sha256) in the manifest", _checksums(survey)),
    ]


def _origin(survey: "Survey", header: dict[str, Any]) -> list[tuple[str, str]]:
    versions, data = dict(header["versions"]), header["data"]
    machine = {name: versions.pop(name) for name in ("cpu", "threads") if name in versions}
    seconds = sum(row["seconds"] for row in survey.zoo.store.manifest.shards.values())
    return [
        ("data", f"{data['name']}, fingerprint {data['fingerprint'] or 'not recorded'}"),
        ("spec", f"digest {header['spec']}" if header["spec"] else "none: not built from a spec"),
        *([("imported", _listed(header["imported"]))] if "imported" in header else []),
        ("seeds", _seeds(survey)),
        ("versions", _listed(versions)),
        ("machine", _listed(machine)),
        ("training time", f"{seconds:,.0f} s, summed over the shards"),
        ("this page", f"at most {survey.limit:,} networks drawn one by one, chosen with seed {survey.seed}"),
    ]


def _seeds(survey: "Survey") -> str:
    seeds = set(survey.table["seed"].to_pylist()) - {None}
    told = f"{len(seeds):,} different among {amount(len(survey), 'network')}"
    return f"{survey.zoo.spec.seed} of the zoo; {told}" if survey.zoo.store.manifest.header["spec"] else told


def _listed(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items()) or "not recorded"


def _checksums(survey: "Survey") -> str:
    manifest = survey.zoo.store.manifest
    records = {row["file"]: row for row in manifest.shards.values()} | manifest.files
    lines = [f"{record['sha256']}  {name}" for name, record in sorted(records.items())]
    return "\n".join(
        lines[:LISTED] + ([f"... {len(lines) - LISTED} more in the manifest"] if len(lines) > LISTED else [])
    )
