"""Plain data from what a restricted pickle left of a configuration."""

from typing import Any

from zoo.importers.unpickling import Inert

LARGEST = 100_000


def plain(value: Any, where: str) -> Any:
    """Lists, dicts, numbers and text; an object of OmegaConf gives its content, any other its state.

    Raises ValueError where that is larger than any configuration: a few bytes of pickle can hold a list of itself.

    >>> plain({"a": (1, None)}, "here")
    {'a': [1, None]}
    """
    return _Walk(where)(value, 0)


class _Walk:
    def __init__(self, where: str):
        self.where, self.met = where, 0

    def __call__(self, value: Any, depth: int) -> Any:
        self.met += 1
        if self.met > LARGEST or depth > 50:
            raise ValueError(f"{self.where}: its configuration has more than {LARGEST} values, or holds itself")
        if isinstance(value, Inert):
            return self(_content(value), depth + 1)
        if isinstance(value, dict):
            return {str(key): self(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self(item, depth + 1) for item in value]
        return value if value is None or isinstance(value, (bool, int, float)) else str(value)[:10_000]


def _content(value: Inert) -> Any:
    """A node of OmegaConf keeps its value in ``_val``, a container in ``_content``."""
    state = value.state if isinstance(value.state, dict) else dict(value)
    return next((state[name] for name in ("_content", "_val") if name in state), state)
