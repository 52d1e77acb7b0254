"""A copy of a zoo at a URL: what the builder acknowledges goes there as it comes, and nothing else."""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from zoo.digests import digest
from zoo.engines.choosing import Engine
from zoo.engines.events import Event, Tell
from zoo.engines.options import EngineOptions
from zoo.manifest import NAME, Manifest

# Seconds between two copies of the manifest, which has a line a shard.
INTERVAL = 30.0
CACHE = "METAZOO_CACHE"


def is_url(out: str | Path) -> bool:
    """Whether an output is a URL rather than a folder.

    >>> is_url("s3://bucket/zoo"), is_url("runs/zoo")
    (True, False)
    """
    return "://" in str(out)


class Mirror:
    """The copy at a URL of a zoo that is built in a folder of this machine.

    A shard goes there before the manifest that names it, so that whoever reads the copy finds a zoo that is whole as
    far as it goes. The lock of a folder is not there: let one machine at a time build to a URL.

    Args:
        url: as fsspec takes it, such as ``s3://bucket/zoo``.

    ``root`` is the folder of the build, in METAZOO_CACHE or else in ~/.cache/metazoo. Raises ImportError that names the
    package that fsspec lacks for the URL, ValueError for a protocol that it does not know.
    """

    def __init__(self, url: str):
        from fsspec.core import url_to_fs

        self.url = url.rstrip("/")
        self._files, self._path = url_to_fs(self.url)
        cache = Path(os.environ.get(CACHE) or Path.home() / ".cache" / "metazoo")
        self.root = cache / "builds" / f"{self._path.rsplit('/', 1)[-1]}-{digest(self.url)[:8]}"
        self._there: dict[str, str] = {}
        self._sent = time.monotonic()

    def fetch(self) -> Path:
        """The folder of the build, filled from the copy where this machine has nothing of the zoo yet.

        Raises ValueError when the copy has what the folder lacks.
        """
        if self._files.exists(f"{self._path}/{NAME}"):
            if not (self.root / NAME).exists():
                self._download()
            there, here = self._manifest_there(), Manifest.read(self.root)
            if missing := there.shards.keys() - here.shards.keys():
                raise ValueError(
                    f"expected {self.root} to have all that {self.url} has, but it lacks {len(missing)} shards, which "
                    "another machine has built; delete that folder, and the build goes on from the copy"
                )
            self._there = _checksums(there)
        return self.root

    def watch(self, engine: Engine) -> Engine:
        """The engine, with every shard sent once it is acknowledged."""

        def watched(root: Path, shards: Sequence[int], options: EngineOptions, tell: Tell) -> None:
            def heard(event: Event) -> None:
                tell(event)
                if time.monotonic() - self._sent > INTERVAL:
                    self.finish()
                elif event.record is not None:
                    self._send(event.record["file"])

            self.finish()
            engine(root, shards, options, heard)

        return watched

    def finish(self) -> None:
        """Send what is acknowledged and not there yet, then the manifest."""
        here = Manifest.read(self.root)
        for name, checksum in _checksums(here).items():
            if self._there.get(name) != checksum:
                self._send(name)
                self._there[name] = checksum
        for name in ("spec.yaml", NAME):
            self._send(name)
        self._sent = time.monotonic()

    def _send(self, name: str) -> None:
        path = f"{self._path}/{name}"
        self._files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        self._files.put_file(str(self.root / name), path)

    def _download(self) -> None:
        """Fill the folder, whole or not at all."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root.parent) as made:
            for name in ("spec.yaml", NAME, *_checksums(self._manifest_there())):
                path = Path(made, "zoo", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                self._files.get_file(f"{self._path}/{name}", str(path))
            # A folder without a manifest holds at most the lock of a build that never began.
            shutil.rmtree(self.root, ignore_errors=True)
            os.rename(Path(made, "zoo"), self.root)

    def _manifest_there(self) -> Manifest:
        with tempfile.TemporaryDirectory() as folder:
            self._files.get_file(f"{self._path}/{NAME}", str(Path(folder, NAME)))
            return Manifest.read(Path(folder))


def _checksums(manifest: Manifest) -> dict[str, str]:
    """Every file that a manifest acknowledges, with its checksum."""
    rows = {row["file"]: row for row in manifest.shards.values()} | manifest.files
    return {name: row["sha256"] for name, row in rows.items()}
