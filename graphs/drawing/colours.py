"""Colours of a picture: one a group of neurons that stands at several places, one a kind of weights."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Iterator

from graphs.topology import PERMUTING, Topology

INK, FAINT, PAPER, STRIPE = "#24292f", "#6e7781", "#ffffff", "#f6f8fa"
# Of a band, then of its arrow and label.
KINDS = {
    "linear": ("#79a9e0", "#1f5fae"),
    "conv": ("#f2ab5e", "#a85400"),
    "embedding": ("#7cc88f", "#1d7a38"),
    "other": ("#b4b9c0", "#57606a"),
}
OWN = "#a9b1bb"
FIXED = PAPER
_FIRST = ("#b5179e", "#00897b", "#7048c6", "#c62845", "#8a6d00", "#17709e", "#7a4419", "#4d7c0f")


def group_colours(topology: Topology) -> list[str]:
    """A colour of its own for each group that stands at several places, ``OWN`` for those at one, ``FIXED`` for those
    that do not permute."""
    count = Counter(key for site in topology.sites for key in {(r.group, r.rank) for r in site.runs})
    places = Counter(group for (group, _), n in count.items() for _ in range(n))
    fresh = _palette()
    return [
        FIXED if group.kind not in PERMUTING else next(fresh) if places[number] > 1 else OWN
        for number, group in enumerate(topology.groups)
    ]


def _palette() -> Iterator[str]:
    """Distinct colours without end: a list, then hues a golden angle apart."""
    yield from _FIRST
    number = 0
    while True:
        lightness, saturation = (0.36, 0.43, 0.29)[number % 3], (0.7, 0.55)[number % 2]
        rgb = colorsys.hls_to_rgb(number * 0.381966 % 1, lightness, saturation)
        yield "#" + "".join(f"{round(255 * c):02x}" for c in rgb)
        number += 1
