"""Train, validation and test parts that depend on a network's id alone."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

FRACTIONS: Mapping[str, float] = MappingProxyType({"train": 0.7, "val": 0.1, "test": 0.2})


def split_of(member_id: str, fractions: Mapping[str, float] = FRACTIONS) -> str:
    """The split of one network: all its states go there, whatever zoo or order it is met in.

    The first 64 bits of a hash of the id fall uniformly in [0, 1); the splits lie one after another on that line, so
    growing a zoo moves no network, and equal networks of two zoos never lie on both sides.

    >>> split_of("0" * 16), split_of("1" * 16)
    ('train', 'train')
    """
    check_fractions(fractions)
    place = int.from_bytes(hashlib.sha256(f"split/{member_id}".encode()).digest()[:8]) / 2**64
    end = 0.0
    for name, fraction in fractions.items():
        end += fraction
        if place < end:
            return name
    return list(fractions)[-1]


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Raise ValueError unless the fractions are positive and add up to one."""
    if not fractions or min(fractions.values()) < 0 or abs(sum(fractions.values()) - 1) > 1e-9:
        raise ValueError(
            f"expected split fractions >= 0 that add up to 1, got {dict(fractions)}; give for example {dict(FRACTIONS)}"
        )
