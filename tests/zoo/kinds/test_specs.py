"""Every spec that comes with the project can be read, and tells what it is."""

from pathlib import Path

import pytest
from shrinking import SPECS

from zoo import ZooSpec

README = (SPECS.parents[1] / "README.md").read_text()


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_spec_is_sound_and_begins_with_what_it_is(path: Path) -> None:
    assert ZooSpec.from_yaml(path).count > 0
    assert path.read_text().startswith("# ")


def test_the_kinds_of_the_readme_are_there() -> None:
    section = README.split("## Zoos of every kind")[1].split("\n## ")[0]
    named = {line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")} - {
        "scripts/specs/", "---",
    }  # fmt: skip
    assert len(named) >= 8
    assert named <= {path.name for path in SPECS.glob("*.yaml")}
