"""What the commands of every package share: subcommands whose ``--help`` teaches, errors as one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

Run = Callable[[argparse.Namespace], int]


class CommandLine:
    """A command with subcommands; a subcommand is a function of its options, named and summarised by itself.

    >>> line = CommandLine("greet", "Greets.", "examples:\\n  greet hello Ada")
    >>> def hello(options: argparse.Namespace) -> int:
    ...     '''Say hello.'''
    ...     print(f"hello {options.name}")
    ...     return 0
    >>> line.command(hello, "Say hello to someone.", "").add_argument("name") is not None
    True
    >>> line.run(["hello", "Ada"])
    hello Ada
    0
    """

    def __init__(self, name: str, description: str, examples: str) -> None:
        self.name = name
        self.parser = _parser(argparse.ArgumentParser, name, description, examples)
        self._commands = self.parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(self, run: Run, description: str, examples: str) -> argparse.ArgumentParser:
        """Add a subcommand; returns its parser, for its options."""
        made = _parser(self._commands.add_parser, run.__name__.rstrip("_"), description, examples, help=run.__doc__)
        made.set_defaults(run=run)
        return made

    def run(self, arguments: list[str] | None = None) -> int:
        """Run a subcommand; returns the exit code."""
        options = self.parser.parse_args(arguments)
        return exit_code(self.name, lambda: options.run(options))


def _parser(make: Callable[..., Any], name: str, description: str, examples: str, **more: Any) -> Any:
    plain = argparse.RawDescriptionHelpFormatter
    return make(name, description=description, epilog=examples, formatter_class=plain, **more)


def exit_code(name: str, run: Callable[[], int | None], stopped: str = "stopped") -> int:
    """Run a command: a caller's mistake is one line on standard error and 2, a failure of the run or the disk 1, an
    interrupt 130; ``stopped`` is said where an interrupt says nothing itself."""
    try:
        return run() or 0
    except (ValueError, ImportError) as error:
        print(f"{name}: {_one_line(error)}", file=sys.stderr)
        return 2
    except (RuntimeError, OSError) as error:
        print(f"{name}: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"\n{name}: {str(stop) or stopped}", file=sys.stderr)
        return 130


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
