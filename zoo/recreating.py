"""The command `zoo recreate`."""

import argparse
import json

from graphs.commanding import CommandLine

RECREATE = """Train one network again from its row of the table alone, and compare all its kept states. Networks of the
trainers reference and native have to agree bit for bit. One of the stacked trainer is trained without its stack mates,
and has to agree up to rounding: its weights within a thousandth of their norm. Long or chaotic training makes more of
rounding; then the figure says how much. Exit code 1 when they do not agree."""

EXAMPLES = """examples:
  zoo recreate runs/digits 12             the network of row 12, counted from 0
  zoo recreate runs/digits 3f9c           the network with this id, or with the only id that begins so
  zoo recreate runs/digits 3f9c --json    bound, differences and equality of bits of each state"""


def recreate(options: argparse.Namespace) -> int:
    """Train one network again and compare."""
    from zoo.comparing import compare
    from zoo.store import open_zoo

    zoo = open_zoo(options.out)
    row = options.row
    by_number = row.isdecimal() and int(row) < len(zoo)
    found = compare(zoo[int(row)] if by_number else zoo.find(row))
    print(json.dumps(found.to_dict(), indent=2) if options.json else found)
    return 0 if found.holds else 1


def add_recreating(line: CommandLine) -> None:
    """Add the command."""
    one = line.command(recreate, RECREATE, EXAMPLES)
    one.add_argument("out", help="folder of the zoo")
    one.add_argument("row", help="number of the network, or its id, or how that begins")
    one.add_argument("--json", action="store_true", help="as JSON")
