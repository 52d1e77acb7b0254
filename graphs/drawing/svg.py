"""The few SVG elements that a picture is made of, the same text for the same picture."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from graphs.drawing.colours import INK, PAPER

Element = ElementTree.Element
FAMILY = "Helvetica, Arial, sans-serif"


def number(value: float) -> str:
    """A coordinate to a tenth."""
    return f"{round(value, 1):g}" if abs(value) < 1e5 else f"{value:.0f}"


def path(*parts: str | float) -> str:
    """The data of a path: letters and coordinates."""
    return " ".join(p if isinstance(p, str) else number(p) for p in parts)


def element(parent: Element | None, tag: str, **attributes: object) -> Element:
    """A child of ``parent``; underscores in names stand for dashes, ``title`` is what a browser shows on hovering."""
    title = attributes.pop("title", None)
    words = {
        name.rstrip("_").replace("_", "-"): number(value) if isinstance(value, float) else str(value)
        for name, value in attributes.items()
        if value is not None
    }
    made = Element(tag, words) if parent is None else ElementTree.SubElement(parent, tag, words)
    if title:
        ElementTree.SubElement(made, "title").text = str(title)
    return made


def text(parent: Element, words: str, x: float, y: float, size: float, **attributes: object) -> Element:
    """A line of text with a rim of paper, so that it can be read above lines."""
    rim = {"stroke": PAPER, "stroke_width": 3, "stroke_linejoin": "round", "paint_order": "stroke"}
    given = {"text_anchor": "middle", "font_size": size, "fill": INK, **rim, **attributes}
    made = element(parent, "text", x=x, y=y, **given)
    made.text = words
    return made


def rounded(points: Sequence[tuple[float, float]], radius: float = 7.0) -> str:
    """A line through points along the axes, its corners rounded."""
    parts: list[str | float] = ["M", *points[0]]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        for end, letter in ((before, "L"), (after, "Q")):
            length = abs(end[0] - corner[0]) + abs(end[1] - corner[1])
            share = min(radius, length / 2) / length if length else 0.0
            near = [c + (e - c) * share for c, e in zip(corner, end, strict=True)]
            parts += [letter, *near] if letter == "L" else [letter, *corner, *near]
    return path(*parts, "L", *points[-1])


def written(root: Element) -> str:
    """The text of a whole picture."""
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
