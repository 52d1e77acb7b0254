"""What a user's own factory or loss raises by mistake, told as a ValueError that names the recipe."""

from collections.abc import Iterator
from contextlib import contextmanager

MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@contextmanager
def blamed_on(recipe: str) -> Iterator[None]:
    """Turn a mistake inside the block into a ValueError that names the recipe."""
    try:
        yield
    except MISTAKES as error:
        raise ValueError(f"recipe {recipe}: {type(error).__name__}: {error}; nothing was trained") from error
