"""Command-line options made from a frozen dataclass: types from its annotations, help from its docstring."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import Any, get_args, get_origin, get_type_hints

from jsonargparse import ActionConfigFile, ActionYesNo, ArgumentParser  # pyright: ignore[reportPrivateImportUsage]


def parser_of(run: type, positional: Collection[str] = ()) -> ArgumentParser:
    """A parser with ``--config FILE`` (YAML) and one option a field, dashes for underscores.

    Args:
        positional: fields without a default that are given by their place.
    """
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
            option |= {} if field.name in positional else {"required": True}
        if types[field.name] is bool:
            option["action"] = ActionYesNo(yes_prefix="", no_prefix="no-")
        elif get_origin(types[field.name]) is list:
            # Given again for every further element; null where it is never given.
            option |= {"action": "append", "default": None}
        else:
            option["type"] = types[field.name]
        name = field.name if field.name in positional else "--" + field.name.replace("_", "-")
        parser.add_argument(name, **option)
    return parser


def configured(run: type, given: Mapping[str, Any]) -> Any:
    """The dataclass of what its parser read. Raises ValueError for elements of lists that are none."""
    lists = {name: get_args(kind)[0] for name, kind in get_type_hints(run).items() if get_origin(kind) is list}
    found = {k: v for k, v in given.items() if k != "config" and not (v is None and k in lists)}
    return run(**{k: [_element(lists[k], e, k) for e in v or ()] if k in lists else v for k, v in found.items()})


def _element(kind: type, value: Any, name: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"expected --{name.replace('_', '-')} of type {kind.__name__}, got {value!r}") from None


def summary(run: type) -> str:
    """The first line of its docstring."""
    return (run.__doc__ or "").splitlines()[0]


def _described(run: type) -> dict[str, str]:
    return dict(re.findall(r"^\s+(\w+): (.+)$", (run.__doc__ or "").partition("Args:")[2], flags=re.MULTILINE))
