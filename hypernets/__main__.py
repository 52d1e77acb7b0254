"""The command ``hypernets``: train, predict, nearest, show, list."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from graphs.commanding import exit_code
from graphs.importing import resolve
from hypernets.runs import TrainRun
from hypernets.tasks import nearest
from hypernets.tasks.predict import EXAMPLES, PredictRun
from hypernets.tasks.show import ListRun, ShowRun


class Verb(NamedTuple):
    """A subcommand.

    Args:
        run: its options, a dataclass. call: ``module:function`` of them, imported when it is called.
        positional: options given by their place. examples: shown below its help.
    """

    run: type
    call: str
    positional: tuple[str, ...] = ()
    examples: str | None = None


VERBS = {
    "train": Verb(TrainRun, "hypernets.tasks.commands:train"),
    "predict": Verb(PredictRun, "hypernets.tasks.predict:predict", ("checkpoint",), EXAMPLES),
    "nearest": Verb(nearest.NearestRun, "hypernets.tasks.nearest:nearest", ("checkpoint",), nearest.EXAMPLES),
    "show": Verb(ShowRun, "hypernets.tasks.show:show", ("checkpoint",)),
    "list": Verb(ListRun, "hypernets.tasks.show:list_"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors of the caller (status 2) and of the run
    or the disk (1) are one line on standard error."""
    from metanets.options import configured

    given = _parser().parse_args(sys.argv[1:] if arguments is None else list(arguments))
    verb, options = VERBS[given.command], given[given.command].as_dict()
    return exit_code("hypernets", lambda: _done(verb, configured(verb.run, options)))


def _done(verb: Verb, run: Any) -> None:
    resolve(verb.call)(run)


def _parser() -> Any:
    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    from metanets.options import parser_of, summary

    class AsWritten(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
        """Examples keep their lines."""

    about = "Networks that write the weights of other networks."
    parser = ArgumentParser(prog="hypernets", description=about, formatter_class=AsWritten)
    verbs = parser.add_subcommands(dest="command")
    for name, verb in VERBS.items():
        one = parser_of(verb.run, verb.positional)
        one.epilog = verb.examples
        verbs.add_subcommand(name, one, help=summary(verb.run))
    return parser


if __name__ == "__main__":
    sys.exit(main())
