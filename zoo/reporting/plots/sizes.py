"""How large a zoo is: files on the disk, weights of each architecture."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.building import OWN_FILES
from zoo.reporting.section import Part, Section, Table, Text
from zoo.reporting.weights import architectures
from zoo.reporting.words import bytes_words

if TYPE_CHECKING:
    from zoo.reporting.survey import Survey

ROWS = 30


def section(survey: "Survey") -> Section:
    """The section."""
    lead = "What the zoo takes on the disk, and how many networks of how many weights each architecture has."
    return Section("sizes", "Sizes", lead, tuple(_parts(survey)))


def _parts(survey: "Survey") -> list[Part]:
    files = Table("Files", ("kind", "files", "size"), _files(survey))
    found = architectures(survey)
    rows = [(a.title, f"{len(a.rows):,}", f"{a.size:,}") for a in found[:ROWS]]
    few = [Text(f"The {ROWS} architectures with the most networks, of {len(found):,}.")] if len(found) > ROWS else []
    return [files, *few, Table("Architectures", ("architecture", "networks that did not diverge", "weights"), rows)]


def _files(survey: "Survey") -> list[tuple[str, str, str]]:
    counts, sizes = Counter[str](), Counter[str]()
    for path in zoo_files(survey.zoo.root):
        kind = path.relative_to(survey.zoo.root).parts[0]
        counts[kind] += 1
        sizes[kind] += path.stat().st_size
    rows = [(kind, f"{counts[kind]:,}", bytes_words(size)) for kind, size in sizes.most_common()]
    return [*rows, ("together", f"{counts.total():,}", bytes_words(sizes.total()))]


def zoo_files(root: Path) -> list[Path]:
    """The files that belong to a zoo; what else lies in its folder, such as an earlier report, does not count."""
    return [path for name in OWN_FILES for path in sorted(root.glob(name))]
