"""Draw the pictures of README.md, with the commands that README.md shows.

    python scripts/draw_readme.py [--check]

With --check nothing is written, and the exit status is 1 where a picture is not what its command draws.
"""

from __future__ import annotations

import argparse
import io
import re
import shlex
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from graphs.__main__ import main as graphs_command

ROOT = Path(__file__).resolve().parents[1]
COMMAND = re.compile(r"^graphs (draw .* -o docs/\w+\.svg)$", re.M)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether the pictures are up to date")
    given = parser.parse_args(arguments)
    pictures = [drawn(command) for command in COMMAND.findall((ROOT / "README.md").read_text())]
    stale = [name for name, picture in pictures if update(name, picture, given.check)]
    for name in stale:
        print(f"{name} is {'stale: run python scripts/draw_readme.py' if given.check else 'drawn anew'}")
    return int(given.check and bool(stale))


def drawn(command: str) -> tuple[str, bytes]:
    """The file that a command names, and what it draws."""
    *words, name = shlex.split(command)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        path = Path(folder, "picture.svg")
        if graphs_command([*words, str(path)]) != 0:
            raise SystemExit(f"graphs {command} failed")
        return name, path.read_bytes()


def update(name: str, picture: bytes, check: bool) -> bool:
    """Write a picture unless only checking; whether it differed from the file."""
    path = ROOT / name
    differs = not path.exists() or path.read_bytes() != picture
    if differs and not check:
        path.write_bytes(picture)
    return differs


if __name__ == "__main__":
    sys.exit(main())
