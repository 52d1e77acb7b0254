"""An undisturbed build of a zoo, and the account of what disturbed ones made otherwise."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from _builds import Build, acknowledged, content

import zoo

SPEC = """data: {source: digits, limit: 600}
recipes:
  - {factory: mlp, random: {width: [8, 16]}}
  - {factory: cnn, fixed: {width: 4}}
members: 60
random: {lr: {loguniform: [1.0e-3, 1.0e-1]}, dropout: [0.0, 0.2]}
epochs: 6
keep: [0, 3, 6]
trainer: reference
shard_size: 2
"""


class Lab:
    """Folders for builds of one spec; ``tally`` counts what must not be.

    Args:
        folder: an empty one.

    ``tally`` has ``lost`` (shards that were acknowledged and are no longer, or are not as acknowledged), ``again``
    (shards trained again though acknowledged), ``duplicates`` (networks that a finished zoo has twice or not at all),
    ``different`` (files of a finished zoo that are not those of the undisturbed one), and ``builds`` compared.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.spec, self.tally = folder, folder / "spec.yaml", Counter[str]()
        self._count, self._times = 0, dict[Path, int]()
        self.spec.write_text(SPEC)
        self.whole = folder / "undisturbed"
        code, errors = Build(self.spec, self.whole, "--workers", "2").end()
        if code:
            raise RuntimeError(f"the undisturbed build failed:\n{errors}")
        self.content = content(self.whole)
        self.ids = sorted(zoo.open(self.whole).table["id"].to_pylist())

    def new(self) -> Path:
        """A folder for another build."""
        self._count += 1
        return self.folder / f"zoo{self._count}"

    def check(self, root: Path, before: dict[int, str]) -> None:
        """After a disturbance: what was acknowledged before still is, and all that is has its undisturbed bytes."""
        now = acknowledged(root)
        files = {shard: f"shards/shard-{shard:05d}.safetensors" for shard in now.keys() | before.keys()}
        for shard, name in files.items():
            path = root / name
            whole = path.is_file() and path.read_bytes() == self.content[name]
            self.tally["lost"] += not whole or (shard in before and now.get(shard) != before[shard])
            if whole:
                time = path.stat().st_mtime_ns
                self.tally["again"] += self._times.setdefault(path, time) != time

    def go_on(self, root: Path, *options: str) -> None:
        """Build to the end, undisturbed from here on, and compare."""
        before = acknowledged(root)
        code, errors = Build(self.spec, root, "--workers", "2", *options).end()
        if code:
            raise RuntimeError(f"the build in {root} did not go on:\n{errors}")
        self.compare(root, before)

    def compare(self, root: Path, before: dict[int, str]) -> None:
        """Hold a finished zoo against the undisturbed one."""
        self.check(root, before)
        now, problems = content(root), zoo.verify(root)
        names = now.keys() | self.content.keys()
        self.tally["different"] += sum(now.get(name) != self.content.get(name) for name in names) + len(problems)
        ids = Counter(zoo.open(root).table["id"].to_pylist())
        self.tally["duplicates"] += sum(ids[name] != 1 for name in {*ids, *self.ids})
        self.tally["builds"] += 1
