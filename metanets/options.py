"""Command-line options made from a frozen dataclass: types from its annotations, help from its docstring."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, get_type_hints

from jsonargparse import ActionConfigFile, ActionYesNo, ArgumentParser  # pyright: ignore[reportPrivateImportUsage]


def parser_of(run: type) -> ArgumentParser:
    """A parser with ``--config FILE`` (YAML) and one option a field, dashes for underscores."""
    parser = ArgumentParser(description=summary(run))
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file of these options")
    types, help_of = get_type_hints(run), _described(run)
    for field in dataclasses.fields(run):
        option: dict[str, Any] = {"help": help_of[field.name]}
        if field.default_factory is not dataclasses.MISSING:
            option["default"] = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            option["default"] = field.default
        else:
            option["required"] = True
        if types[field.name] is bool:
            option["action"] = ActionYesNo(yes_prefix="", no_prefix="no-")
        else:
            option["type"] = types[field.name]
        parser.add_argument("--" + field.name.replace("_", "-"), **option)
    return parser


def summary(run: type) -> str:
    """The first line of its docstring."""
    return (run.__doc__ or "").splitlines()[0]


def _described(run: type) -> dict[str, str]:
    return dict(re.findall(r"^\s+(\w+): (.+)$", (run.__doc__ or "").partition("Args:")[2], flags=re.MULTILINE))
