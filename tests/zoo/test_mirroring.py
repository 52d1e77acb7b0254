"""A build to a URL leaves there, at any time, a zoo that is whole as far as it goes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

import zoo
from zoo.manifest import NAME
from zoo.mirroring import CACHE, Mirror

MakeSpec = Callable[..., zoo.ZooSpec]
Content = Callable[[Path], dict[str, bytes]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("protocol", ["file", "memory"])
def test_the_copy_is_the_zoo(
    small_spec: MakeSpec, content: Content, small_zoo: zoo.Zoo, tmp_path: Path, protocol: str
) -> None:
    url = f"{protocol}://{tmp_path}/copy"
    z = zoo.build(small_spec(), url, workers=0, progress=False)
    assert content(z.root) == content(small_zoo.root)
    fsspec.filesystem(protocol).get(f"{tmp_path}/copy", str(tmp_path / "got"), recursive=True)
    assert content(tmp_path / "got") == content(small_zoo.root)
    assert zoo.verify(tmp_path / "got") == []


def test_a_build_that_was_stopped_goes_on_on_another_machine(
    small_spec: MakeSpec,
    content: Content,
    small_zoo: zoo.Zoo,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy, url, send = tmp_path / "copy", f"file://{tmp_path}/copy", Mirror._send

    def stopped(self: Mirror, name: str) -> None:
        if "00002" in name:
            raise KeyboardInterrupt
        send(self, name)

    monkeypatch.setattr("zoo.mirroring.INTERVAL", 0)
    monkeypatch.setattr(Mirror, "_send", stopped)
    with pytest.raises(KeyboardInterrupt, match="9 of 12 networks are safe"):
        zoo.build(small_spec(), url, workers=0, progress=False)
    # Only what the copy's manifest names counts, and all of it is there.
    assert zoo.verify(copy) == []
    assert len(zoo.open(copy)) == 6
    shutil.rmtree(cache)
    monkeypatch.setattr(Mirror, "_send", send)
    z = zoo.build(small_spec(), url, workers=0, progress=False)
    assert content(z.root) == content(copy) == content(small_zoo.root)


def test_a_folder_that_is_behind_its_copy_is_refused(small_spec: MakeSpec, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/copy"
    root = zoo.build(small_spec(), url, workers=0, progress=False).root
    lines = (root / NAME).read_bytes().splitlines(keepends=True)
    (root / NAME).write_bytes(b"".join(lines[:4]))
    with pytest.raises(ValueError, match="it lacks 3 shards, which another machine has built; delete that folder"):
        zoo.build(small_spec(), url, workers=0, progress=False)


def test_an_unknown_protocol_is_told(small_spec: MakeSpec) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        zoo.build(small_spec(), "nowhere://bucket/zoo", workers=0, progress=False)
