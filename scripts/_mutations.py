"""Ways in which a foreign zoo arrives broken or malicious, each a small change of one folder."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import random
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

# Appears when code of a file has been run.
CANARY = "METAZOO_CANARY"
HUGE = (2**31 - 1, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
WORDS = (
    "-1",
    "0",
    "1e309",
    "nan",
    "NaN",
    "Infinity",
    "null",
    '""',
    "[]",
    "{}",
    "true",
    "9" * 30,
    "9" * 5000,
    "../../x",
)
Mutation = Callable[[Path, random.Random], None]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _some(folder: Path, rng: random.Random, pattern: str = "") -> Path:
    """A file, one whose name matches where there is any."""
    found = files(folder)
    return rng.choice([path for path in found if re.search(pattern, path.name)] or found)


def flip_bits(folder: Path, rng: random.Random) -> None:
    path = _some(folder, rng)
    data = bytearray(path.read_bytes())
    # Half of the time near an end, where headers and directories are.
    ends = rng.choice([range(len(data)), range(min(300, len(data))), range(max(0, len(data) - 300), len(data))])
    for _ in range(rng.choice((1, 1, 2, 8)) if ends else 0):
        data[rng.choice(ends)] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def truncate(folder: Path, rng: random.Random) -> None:
    path = _some(folder, rng)
    data = path.read_bytes()
    path.write_bytes(data[: rng.choice((0, 1, 8, rng.randrange(len(data) + 1), max(0, len(data) - 1)))])


def extend(folder: Path, rng: random.Random) -> None:
    path = _some(folder, rng)
    path.write_bytes(path.read_bytes() + rng.choice((b"\0" * 4096, b"\n", rng.randbytes(100), path.read_bytes())))


def zero_span(folder: Path, rng: random.Random) -> None:
    path = _some(folder, rng)
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice((1, 4, 64, 4096)))
    data[start:end] = bytes(end - start)
    path.write_bytes(data)


def huge_number(folder: Path, rng: random.Random) -> None:
    """Binary: a size, count or offset becomes enormous. Text: a number becomes another word."""
    path = _some(folder, rng)
    data = path.read_bytes()
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", data[:4096]))
    if numbers and (rng.random() < 0.7 or path.suffix in (".json", ".csv")):
        found = rng.choice(numbers)
        word = rng.choice([*WORDS, *map(str, HUGE)]).encode()
        path.write_bytes(data[: found.start()] + word + data[found.end() :])
    elif len(data) > 8:
        place = rng.randrange(min(len(data) - 8, 512))
        path.write_bytes(data[:place] + struct.pack("<Q", rng.choice(HUGE)) + data[place + 8 :])


def rename(folder: Path, rng: random.Random) -> None:
    path = _some(folder, rng)
    path = rng.choice([path, *[p for p in path.parents if folder in p.parents]])
    names = (
        path.name + ".bak",
        path.name[::-1],
        "x",
        f"{path.name}_0",
        path.stem,
        "checkpoint_9",
        "net\n.pth",
        "[a].pt",
    )
    target = path.with_name(rng.choice(names))
    if not target.exists():
        path.rename(target)


def duplicate(folder: Path, rng: random.Random) -> None:
    path = _some(folder, rng)
    path = rng.choice([path, *[p for p in path.parents if folder in p.parents]])
    shorter = re.sub(r"0+(\d)", r"\1", path.name)
    target = path.with_name(rng.choice([f"copy_{path.name}", f"{path.name}1", shorter]))
    if not target.exists():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, target)


def duplicate_entry(folder: Path, rng: random.Random) -> None:
    """A line, a key or an entry of an archive stands there twice."""
    path = _some(folder, rng)
    data = path.read_bytes()
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
        entries.insert(rng.randrange(len(entries)), (rng.choice(entries)[0], rng.choice(entries)[1]))
        _write_zip(path, entries)
        return
    lines = data.split(rng.choice((b"\n", b",")))
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    path.write_bytes((b"\n" if b"\n" in data else b",").join(lines))


def swap(folder: Path, rng: random.Random) -> None:
    first, second = _some(folder, rng), _some(folder, rng)
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


def delete(folder: Path, rng: random.Random) -> None:
    _some(folder, rng).unlink()


def not_a_file(folder: Path, rng: random.Random) -> None:
    """A folder, a pipe, a dangling or a circular link in place of a file."""
    path = _some(folder, rng)
    path.unlink()
    makers: tuple[Callable[[], object], ...] = (
        path.mkdir,
        lambda: os.mkfifo(path),
        lambda: path.symlink_to("nowhere"),
        lambda: path.symlink_to(path.name),
        lambda: path.symlink_to("/dev/zero"),
    )
    rng.choice(makers)()


def drop_key(folder: Path, rng: random.Random) -> None:
    """A key, a column or an entry is called otherwise."""
    path = _some(folder, rng)
    data = path.read_bytes()
    words = [m for m in re.finditer(rb"[A-Za-z_]{4,}", data)]
    if words:
        found = rng.choice(words)
        word = bytearray(found[0])
        word[rng.randrange(len(word))] = rng.choice(b"abcxyz_")
        path.write_bytes(data[: found.start()] + bytes(word) + data[found.end() :])


def _write_zip(path: Path, entries: list[tuple[str, bytes]], how: int = zipfile.ZIP_STORED) -> None:
    import warnings

    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", how) as archive:
        warnings.simplefilter("ignore", UserWarning)
        for name, data in entries:
            archive.writestr(name, data)


class _Runs:
    """Pickles as a call."""

    def __init__(self, function: Callable, *arguments: object):
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


def evil_pickles(canary: Path) -> list[bytes]:
    """Pickles that leave a canary when they are believed."""
    path = str(canary)
    text = f"open({path!r}, 'w').close()"
    calls = [(os.system, f"touch {path}"), (exec, text), (eval, text), (open, path, "w"), (os.mkdir, path)]
    found = [pickle.dumps({"model": _Runs(*call)}, protocol) for call in calls for protocol in (0, 2, 4)]
    touch = f"touch {path}".encode()
    found.append(b"(S'" + touch + b"'\nios\nsystem\n.")
    found.append(b"cos\nsystem\n(S'" + touch + b"'\ntR.")
    found.append(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(touch)]) + touch + b"\x85R.")
    # Through what is allowed: the state of a class, the state of a function, extensions, attributes of modules.
    found.append(b"ccollections\nOrderedDict\n}S'update'\ncos\nsystem\nsb.")
    found.append(b"ctorch._utils\n_rebuild_tensor_v2\n}S'x'\nI1\nsb.")
    found.append(b"ctorch.serialization\nos.system\n(S'" + touch + b"'\ntR.")
    found.append(b"\x80\x04\x8c\x0btorch._utils\x8c\x0bsys.modules\x93.")
    found.append(b"\x80\x02\x82\x01.")
    found.append(b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.")
    found.append(b"\x80\x02]r\xff\xff\xff\x7f.")
    # Lists that hold the one before twice: two to the power of forty elements in 400 bytes; and one that holds itself.
    doubled = b"".join(b"0](h%ch%ceq%c" % (i, i, i + 1) for i in range(40))
    found.append(b"\x80\x02]q\x00" + doubled + b"0}(X\x06\x00\x00\x00configh\x28u.")
    found.append(b"\x80\x02}(X\x05\x00\x00\x00model}X\x06\x00\x00\x00config]q\x01h\x01au.")
    return found


def evil_pickle(folder: Path, rng: random.Random) -> None:
    """The pickle of an archive is swapped for one with code; or the whole file is one."""
    path = _some(folder, rng, r"\.(pt|pth)$|^checkpoints$")
    canary = folder.parent / CANARY
    data, content = path.read_bytes(), rng.choice(evil_pickles(canary))
    if data[:2] != b"PK" or rng.random() < 0.2:
        path.write_bytes(content)
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    _write_zip(path, [(n, content if n.endswith("data.pkl") else d) for n, d in entries])


def spliced_pickle(folder: Path, rng: random.Random) -> None:
    """Code, or any change of bytes, within the pickle of an archive whose checksums are right."""
    path = _some(folder, rng, r"\.(pt|pth)$|^checkpoints$")
    data = path.read_bytes()
    if data[:2] != b"PK":
        return flip_bits(folder, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    entries = [(name, _spliced(d, folder, rng) if name.endswith("data.pkl") else d) for name, d in entries]
    _write_zip(path, entries)


def _spliced(data: bytes, folder: Path, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    touch = f"cos\nsystem\n(S'touch {folder.parent / CANARY}'\ntR0".encode()
    changes = (
        lambda: data[:place] + touch + data[place:],
        lambda: data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :],
        lambda: data.replace(b"torch._utils", b"os\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
        lambda: re.sub(
            rb"K[\x00-\xff]", b"J" + struct.pack("<i", rng.choice((-1, 2**31 - 1))), data, count=rng.randint(1, 9)
        ),
        lambda: re.sub(rb"K[\x00-\xff]", b"\x8a\x09" + struct.pack("<Q", 2**62) + b"\0", data, count=rng.randint(1, 9)),
        lambda: data[:place] + data[rng.randrange(len(data)) :],
    )
    return rng.choice(changes)()


def bomb(folder: Path, rng: random.Random) -> None:
    """A small file that unpacks to a large one."""
    path = _some(folder, rng, r"\.(pt|pth|gz)$|^checkpoints$")
    zeros = bytes(2**25)
    if path.suffix == ".gz":
        line = rng.choice((zeros, b"0,1\n" * 2**22))
        path.write_bytes(gzip.compress(line, 1))
        return
    entries = [("archive/data.pkl", zeros), ("archive/data/0", zeros), ("archive/version", b"3\n")]
    _write_zip(path, entries, zipfile.ZIP_DEFLATED)


def traversal(folder: Path, rng: random.Random) -> None:
    """A name in a table, an index or an archive that leads out of the folder."""
    name = rng.choice(("../../../../etc/passwd", "/etc/passwd", "..\\..\\x", "a/../../b", "C:\\x", "\0", "/dev/zero"))
    path = _some(folder, rng, r"\.(csv|json)$|\.(pt|pth)$")
    data = path.read_bytes()
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
        entries[rng.randrange(len(entries))] = (name, b"x")
        _write_zip(path, entries)
        return
    found = list(re.finditer(rb"[\w/.-]+\.(safetensors|pth|pt)", data))
    if found:
        spot = rng.choice(found)
        path.write_bytes(data[: spot.start()] + name.replace("\\", "\\\\").encode() + data[spot.end() :])


MUTATIONS: dict[str, Mutation] = {
    function.__name__: function
    for function in (
        flip_bits, truncate, extend, zero_span, huge_number, rename, duplicate, duplicate_entry, swap, delete,
        not_a_file, drop_key, evil_pickle, spliced_pickle, bomb, traversal,
    )
}  # fmt: skip
