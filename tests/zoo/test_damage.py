"""Every flipped bit of a zoo is found, and none in the manifest costs more than one shard."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo
from zoo.manifest import NAME, Manifest

MakeSpec = Callable[..., zoo.ZooSpec]
Content = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def copy(tmp_path: Path, small_zoo: zoo.Zoo) -> Path:
    """A zoo to damage."""
    return Path(shutil.copytree(small_zoo.root, tmp_path / "copy"))


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def found(root: Path) -> list[str]:
    """What ``zoo verify`` says, also where it cannot go on."""
    try:
        return zoo.verify(root)
    except ValueError as error:
        return [str(error)]


def test_a_flipped_bit_is_found_in_every_file(copy: Path) -> None:
    rng = random.Random(0)
    paths = [path for path in sorted(copy.rglob("*")) if path.is_file() and path.name != ".lock"]
    assert {path.suffix for path in paths} == {".yaml", ".jsonl", ".json", ".arrow", ".safetensors"}
    for path in paths:
        for _ in range(8):
            bit = rng.randrange(8 * path.stat().st_size)
            flip(path, bit)
            assert any(path.name in problem for problem in found(copy)), (path, bit)
            flip(path, bit)
    assert found(copy) == []


def test_every_bit_of_a_manifest_counts_and_costs_one_shard_at_most(copy: Path) -> None:
    rng, path = random.Random(1), copy / NAME
    head = path.read_bytes().index(b'{"bytes"')
    ends = [8 * place + bit for place, byte in enumerate(path.read_bytes()) if byte == 10 for bit in range(8)]
    for bit in [*ends, *rng.sample(range(8 * path.stat().st_size), 200)]:
        flip(path, bit)
        manifest = Manifest.read(copy)
        assert manifest.damaged, bit
        # A line that loses its end is read with the next one, as one.
        assert len(manifest.shards) >= 4 - (2 if bit in ends else 1) * (bit >= 8 * head - 8)
        flip(path, bit)
    assert Manifest.read(copy).damaged == []


def test_a_damaged_header_is_mended_from_its_copy(
    small_spec: MakeSpec, content: Content, copy: Path, small_zoo: zoo.Zoo
) -> None:
    whole = (copy / NAME).read_bytes()
    place = whole.index(b'"torch":"') + 10
    flip(copy / NAME, 8 * place)
    assert zoo.verify(copy) == ["manifest.jsonl: line 1 cannot be read"]
    assert Manifest.read(copy).header == Manifest.read(small_zoo.root).header
    zoo.build(small_spec(), copy, workers=0, progress=False)
    assert (copy / NAME).read_bytes() == whole
    assert content(copy) == content(small_zoo.root)


def test_a_zoo_of_the_first_format_is_read_and_gone_on_with(small_spec: MakeSpec, copy: Path) -> None:
    """One line for the header, no checksums, no word of the spec."""
    lines = [line.split(b',"sum":')[0] + b"}\n" for line in (copy / NAME).read_bytes().splitlines() if line]
    header = lines[0].replace(b'"format":2', b'"format":1').replace(b'"content":', b'"unread":')
    (copy / NAME).write_bytes(header + b"".join(lines[2:4]))
    assert zoo.verify(copy) == []
    assert len(zoo.open(copy)) == 6
    zoo.build(small_spec(), copy, workers=0, progress=False)
    assert zoo.verify(copy) == []
    assert len(zoo.open(copy)) == 12


def test_an_edited_comment_of_the_spec_is_told_and_taken(small_spec: MakeSpec, copy: Path) -> None:
    text = "# mine\n" + (copy / "spec.yaml").read_text()
    (copy / "spec.yaml").write_text(text)
    assert len(zoo.verify(copy)) == 1
    zoo.build(small_spec(), copy, workers=0, progress=False)
    assert zoo.verify(copy) == []
    assert (copy / "spec.yaml").read_text() == text


def test_clocks_do_not_matter(small_spec: MakeSpec, content: Content, copy: Path, small_zoo: zoo.Zoo) -> None:
    """Files of a machine whose clock is decades ahead or behind, a lock among them that nobody holds."""
    (copy / "shards" / "shard-00001.safetensors").unlink()
    for number, path in enumerate(sorted(copy.rglob("*"))):
        os.utime(path, (number % 2 * 2**32, number % 2 * 2**32))
    zoo.build(small_spec(), copy, workers=0, progress=False)
    assert content(copy) == content(small_zoo.root)
    assert zoo.verify(copy) == []
