"""What is written in a picture: names of sites and bands, broken into short lines, and the space that they take."""

from __future__ import annotations

import re
from dataclasses import dataclass

from graphs.inspection import site_groups
from graphs.topology import ParameterBlock, Site, Topology

FONT, SMALL = 11.0, 10.0
# Of the widest common sans-serif fonts, a little above the average of letters.
CHARACTER = 0.56
LINE = 13.0
WIDEST = 15
# Neurons that others belong to are heads, but not those of grouped keys and values, which weights make.
_NOUNS = {
    "hidden": "neurons",
    "head": "heads",
    "vocabulary": "tokens",
    "input": "inputs",
    "output": "outputs",
    "pinned": "fixed",
}


@dataclass(frozen=True)
class Box:
    """A rectangle of a picture."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def width(text: str, size: float) -> float:
    """Estimated width of a line of text."""
    return len(text) * size * CHARACTER


def text_box(text: str, x: float, y: float, size: float) -> Box:
    """The box of a line centred at ``x`` on the base line ``y``."""
    half = width(text, size) / 2
    return Box(x - half, y - 0.8 * size, x + half, y + 0.25 * size)


def site_lines(topology: Topology, number: int) -> tuple[list[str], list[str]]:
    """The lines of a site's name, then those of its size and functions."""
    site = topology.sites[number]
    kinds = {topology.groups[g].kind for g in site_groups(site)}
    kind = next(iter(kinds)) if len(kinds) == 1 else "hidden"
    name = kind if kind in ("input", "vocabulary") else topology.site_paths[number] or "(network)"
    noun = "neurons" if kind == "head" and _is_fed(topology, number) else _NOUNS[kind]
    noun = noun.removesuffix("s") if site.size == 1 else noun
    return wrap(name), [f"{site.size:,} {noun}", *functions(site)]


def _is_fed(topology: Topology, number: int) -> bool:
    """Whether weights make the neurons of a site, or hand them on, rather than membership alone."""
    identities = [r.target for r in topology.relations if r.kind == "identity"]
    return number in [*(b.target for b in topology.blocks), *identities]


def functions(site: Site) -> list[str]:
    """Normalisations and the activation function of a site."""
    names = [step.split("(")[0] for step in site.steps]
    found = [name for name in names if "norm" in name or name.endswith("softmax")]
    if site.activation == "other":
        found += [name for name in names if name not in _ARITHMETIC and "pool" not in name][-1:]
    elif site.activation != "none":
        found.append(site.activation)
    return list(dict.fromkeys(found))


_ARITHMETIC = frozenset("mean sum mul div add sub masked_fill dropout".split())


def band_lines(topology: Topology, block: ParameterBlock) -> list[str]:
    """The kind of a block and what sets it apart."""
    shape = topology.entries[block.parameter].shape
    marks = [block.kind]
    if block.kind == "conv":
        marks.append("×".join(str(n) for n in shape[2:]))
    elif block.taps:
        marks.append("× " + "·".join(str(n) for n in block.taps))
    diagonal = [a for a in block.axes if a.target and a.source]
    if diagonal:
        marks.append("depthwise" if all(a.is_tap or a in diagonal for a in block.axes) else "grouped")
    if sum(b.parameter == block.parameter and b.source is not None for b in topology.blocks) > 1:
        marks.append("shared")
    return marks


def wrap(path: str, most: int = WIDEST) -> list[str]:
    """A module path in lines of about ``most`` characters, broken behind dots, and in long names before underscores.

    >>> wrap("model.layers.0.post_attention_layernorm")
    ['model.layers.0.', 'post_attention', '_layernorm']
    """
    lines = [""]
    for name in re.findall(r"[^.]*\.|[^.]+", path):
        pieces = re.findall(r"_?[^_]+|_", name) if len(name) > most else [name]
        for piece in pieces:
            if lines[-1] and len(lines[-1]) + len(piece) > most:
                lines.append("")
            lines[-1] += piece
    return lines
