"""A disk that is full or read-only gives one clear error, and takes nothing that was safe."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from disks import files_up_to

import zoo
from graphs.durable import append_durably
from zoo.__main__ import main
from zoo.manifest import NAME, Manifest

MakeSpec = Callable[..., zoo.ZooSpec]
Content = Callable[[Path], dict[str, bytes]]
NOBODY = 65534


@contextmanager
def read_only_folder() -> Iterator[Path]:
    """A folder that this process may not write to, also where it runs as root."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        if user == 0:
            os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            os.seteuid(user)


def test_a_full_disk_at_any_file_or_line_loses_nothing(small_spec: MakeSpec, content: Content, tmp_path: Path) -> None:
    # Shards smaller than the manifest, so that its lines too meet the limit.
    recipes = [{"factory": "cnn", "fixed": {"width": 1}}]
    spec = small_spec(recipes=recipes, members=4, shard_size=1, keep=[2], random={})
    whole = zoo.build(spec, tmp_path / "whole", workers=0, progress=False)
    files = ("spec.yaml", "shards/shard-00000.safetensors", "table.arrow")
    lines = [len(line) for line in (whole.root / NAME).read_bytes().splitlines(keepends=True)]
    limits = [(whole.root / name).stat().st_size - 1 for name in files] + [sum(lines[:n]) - 30 for n in (5, 7)]
    counts = []
    for limit in limits:
        root = tmp_path / str(limit)
        with files_up_to(limit), pytest.raises(zoo.BuildError, match=r"cannot write into .* File too large") as told:
            zoo.build(spec, root, workers=0, progress=False)
        safe = Manifest.read(root).shards if (root / NAME).exists() else {}
        assert f"{len(safe)} of 4 networks are safe" in str(told.value)
        for record in safe.values():
            assert (root / record["file"]).read_bytes() == (whole.root / record["file"]).read_bytes()
        assert not list(root.rglob("*.tmp"))
        counts.append(len(safe))
        zoo.build(spec, root, workers=0, progress=False)
        assert content(root) == content(whole.root)
        assert zoo.verify(root) == []
    assert counts == [0, 0, 4, 1, 3]


def test_a_worker_whose_disk_is_full_ends_the_build(small_spec: MakeSpec, tmp_path: Path) -> None:
    with files_up_to(10_000), pytest.raises(zoo.BuildError, match=r"networks are safe. Make room") as told:
        zoo.build(small_spec(), tmp_path / "zoo", workers=1, progress=False)
    assert "shard 0, network" in str(told.value)


def test_an_append_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    append_durably(path, b"a" * 90)
    with files_up_to(100), pytest.raises(OSError, match="File too large"):
        append_durably(path, b"b" * 20)
    assert path.read_bytes() == b"a" * 90


def test_a_read_only_folder_is_told(small_spec: MakeSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with read_only_folder() as root:
        with pytest.raises(zoo.BuildError, match=r"cannot write into .*Permission denied.*make the folder writable"):
            zoo.build(small_spec(), root, workers=0, progress=False)
        with pytest.raises(zoo.BuildError, match="cannot write into"):
            zoo.build(small_spec(), root / "new", workers=0, progress=False)
    assert main(["verify", str(root)]) == 2
