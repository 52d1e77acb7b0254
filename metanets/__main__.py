"""The command ``metanets``: train, eval, predict, list."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from graphs.commanding import exit_code
from metanets.runs import EvalRun, PredictRun, TrainRun


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors of the caller (status 2) and of the run
    or the disk (1) are one line on standard error."""
    given = _parser().parse_args(sys.argv[1:] if arguments is None else list(arguments))
    stopped = "stopped; a training run goes on from its last checkpoint with --resume"
    return exit_code("metanets", lambda: _COMMANDS[given.command](given[given.command]), stopped)


def _parser() -> Any:
    from jsonargparse import ArgumentParser

    from metanets.options import parser_of, summary

    parser = ArgumentParser(prog="metanets", description="Networks that read the weights of other networks.")
    verbs = parser.add_subcommands(dest="command")
    for name, run in {"train": TrainRun, "eval": EvalRun, "predict": PredictRun}.items():
        verbs.add_subcommand(name, parser_of(run), help=summary(run))
    listing = ArgumentParser(description="List the models.")
    listing.add_argument("--json", action="store_true", help="as JSON")
    verbs.add_subcommand("list", listing, help="List the models.")
    return parser


def _called(run: type, command: str) -> Callable[[Any], None]:
    def call(given: Any) -> None:
        from metanets.options import configured
        from metanets.tasks import commands

        getattr(commands, command)(configured(run, given.as_dict()))

    return call


def _list(given: Any) -> None:
    import json

    from metanets.registry import list_models

    names = list(list_models())
    print(json.dumps(names) if given.json else "\n".join(names))


_COMMANDS: dict[str, Callable[[Any], None]] = {
    "train": _called(TrainRun, "train"),
    "eval": _called(EvalRun, "evaluate"),
    "predict": _called(PredictRun, "predict"),
    "list": _list,
}


if __name__ == "__main__":
    sys.exit(main())
