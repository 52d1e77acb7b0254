"""Errors of training, importable without torch."""

from __future__ import annotations


class NonFiniteError(RuntimeError):
    """A loss or gradient was NaN or infinite; the weights of the model are those before that step."""
