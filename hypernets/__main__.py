"""The command ``hypernets``: train, predict, show, list."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from graphs.commanding import exit_code
from hypernets.runs import TrainRun
from hypernets.tasks.predict import EXAMPLES, PredictRun, predict
from hypernets.tasks.show import ListRun, ShowRun, list_, show


class Verb(NamedTuple):
    """A subcommand.

    Args:
        run: its options, a dataclass. call: what it does with them.
        positional: options given by their place. examples: shown below its help.
    """

    run: type
    call: Callable[[Any], Any]
    positional: tuple[str, ...] = ()
    examples: str | None = None


def _train(run: TrainRun) -> None:
    from hypernets.tasks.commands import train

    train(run)


VERBS = {
    "train": Verb(TrainRun, _train),
    "predict": Verb(PredictRun, predict, ("checkpoint",), EXAMPLES),
    "show": Verb(ShowRun, show, ("checkpoint",)),
    "list": Verb(ListRun, list_),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors of the caller (status 2) and of the run
    or the disk (1) are one line on standard error."""
    from metanets.options import configured

    given = _parser().parse_args(sys.argv[1:] if arguments is None else list(arguments))
    verb, options = VERBS[given.command], given[given.command].as_dict()
    return exit_code("hypernets", lambda: verb.call(configured(verb.run, options)))


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
