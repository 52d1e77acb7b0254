"""Counts and sizes in words."""


def amount(count: int, noun: str) -> str:
    """A count with its noun.

    >>> amount(1, "network"), amount(2560, "network")
    ('1 network', '2,560 networks')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def bytes_words(size: int) -> str:
    """Bytes as kB, MB or GB.

    >>> bytes_words(26_300), bytes_words(1_320_000_000)
    ('26.3 kB', '1.32 GB')
    """
    unit, scale = next(pair for pair in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if size >= pair[1] or pair[0] == "kB")
    return f"{size / scale:.3g} {unit}"
