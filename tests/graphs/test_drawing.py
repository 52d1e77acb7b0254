"""What is drawn of a topology, read back from the SVG."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

import graphs
from graphs.__main__ import main
from graphs.drawing.picture import svg

ROOT = Path(__file__).parents[2]
Element = ElementTree.Element
Box = tuple[float, float, float, float]


class Dense(nn.Module):
    """Every convolution reads all maps before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(16, 2)
        self.layers = nn.ModuleList(nn.Conv2d(4 + 4 * i, 4, 3, padding=1) for i in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        for layer in self.layers:
            x = torch.cat([x, layer(x).relu()], 1)
        return self.head(x.mean((2, 3)))


class Branches(nn.Module):
    """Three branches of different lengths, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1), nn.Conv2d(8, 6, 1)
        self.b2, self.c, self.c2 = nn.Conv2d(6, 5, 3, padding=1), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 3, 3, padding=1)
        self.c3, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        parts = [self.a(x), self.b2(self.b(x).relu()), self.c3(self.c2(self.c(x).tanh()).relu())]
        return self.head(torch.cat(parts, 1).relu().mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class GroupedQueries(nn.Module):
    """Attention whose four heads share two keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(6, 8), nn.Linear(6, 4), nn.Linear(6, 4)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (-1, 2)).transpose(1, 2) for f in (self.q, self.k, self.v))
        k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
        return self.out(((q @ k.mT).softmax(-1) @ v).transpose(1, 2).flatten(2))


def family(name: str, **arguments: object) -> graphs.Topology:
    recipe = graphs.Recipe(name, arguments)
    return graphs.trace(recipe.build(), *recipe.example_input())


TOPOLOGIES = {
    "resnet": lambda: family("resnet", widths=[4, 8], blocks=[1, 2]),
    "gpt": lambda: family("gpt", depth=2),
    "mobilenet": lambda: family("mobilenet"),
    "mlp": lambda: family("mlp"),
    "dense": lambda: graphs.trace(Dense(), torch.zeros(1, 3, 4, 4)),
    "branches": lambda: graphs.trace(Branches(), torch.zeros(1, 3, 4, 4)),
    "grouped queries": lambda: graphs.trace(GroupedQueries(), torch.zeros(1, 5, 6)),
    "recurrent": lambda: graphs.trace(Recurrent(), torch.zeros(1, 3, 3)),
    "one site": lambda: graphs.trace(nn.BatchNorm1d(3), torch.zeros(2, 3)),
    "long": lambda: family("mlp", inputs=4, hidden=[5] * 199, outputs=2),
}


@dataclass
class Drawn:
    """A topology with its picture."""

    topology: graphs.Topology
    text: str

    @cached_property
    def root(self) -> Element:
        return ElementTree.fromstring(re.sub(' xmlns="[^"]*"', "", self.text, count=1))

    def of_class(self, name: str) -> list[Element]:
        return [e for e in self.root.iter() if name in e.get("class", "").split()]

    @cached_property
    def bars(self) -> list[Box]:
        """Left, top, right and bottom of every site."""
        found = []
        for site in self.of_class("site"):
            boxes = [rectangle(r) for r in site.iter("rect")]
            lows, highs = (min(b[i] for b in boxes) for i in (0, 1)), (max(b[i] for b in boxes) for i in (2, 3))
            found.append((*lows, *highs))
        return found


@pytest.fixture(scope="module", params=TOPOLOGIES)
def drawn(request: pytest.FixtureRequest) -> Drawn:
    topology = TOPOLOGIES[request.param]()
    return Drawn(topology, svg(topology, request.param))


@pytest.fixture(scope="module")
def branches() -> Drawn:
    topology = TOPOLOGIES["branches"]()
    return Drawn(topology, svg(topology))


def rectangle(element: Element) -> Box:
    x, y, width, height = (float(element.get(k, "nan")) for k in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def points(element: Element) -> list[tuple[float, float]]:
    """Every point of a path, control points included; only absolute M, L, C, Q and Z."""
    data = element.get("d", "")
    assert set(re.findall("[A-Za-z]", data)) <= set("MLCQZ")
    numbers = [float(n) for n in re.findall(r"-?[0-9.]+", data)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def text_box(element: Element) -> Box:
    """Estimated from the size of the font."""
    size, x, y = (float(element.get(k, "nan")) for k in ("font-size", "x", "y"))
    width = 0.55 * size * len(element.text or "")
    left = x if element.get("text-anchor") == "start" else x - width / 2
    return left, y - 0.75 * size, left + width, y + 0.2 * size


def edge_links(topology: graphs.Topology) -> Iterator[graphs.ParameterBlock | graphs.Relation]:
    yield from (b for b in topology.blocks if b.source is not None)
    yield from topology.relations


def test_every_site_is_a_bar_in_order_of_layers(drawn: Drawn) -> None:
    sites = drawn.of_class("site")
    assert [int(s.get("data-site", "")) for s in sites] == list(range(len(drawn.topology.sites)))
    assert len(set(drawn.bars)) == len(sites)
    by_layer: dict[int, list[float]] = {}
    for site, bar in zip(drawn.topology.sites, drawn.bars, strict=True):
        by_layer.setdefault(site.layer, []).append(bar[0])
    for before, after in itertools.pairwise(sorted(by_layer)):
        assert max(by_layer[before]) < min(by_layer[after])
    for (i, a), (j, b) in itertools.combinations(enumerate(drawn.bars), 2):
        assert not overlap(a, b), (i, j)


def test_every_block_and_relation_runs_from_its_source_to_its_target(drawn: Drawn) -> None:
    lines = [
        line
        for kind in ("block", "relation")
        for line in sorted(drawn.of_class(kind), key=lambda e: int(e.get("data-number", "")))
    ]
    arrows = drawn.of_class("arrow")
    expected = list(edge_links(drawn.topology))
    assert len(lines) == len(arrows) == len(expected)
    for line, arrow, link in zip(lines, arrows, expected, strict=True):
        source, target = link.source, link.target
        assert source is not None
        assert target is not None
        where = [int(line.get(k, "")) for k in ("data-source", "data-target", "data-edges")]
        assert where == [source, target, link.num_edges]
        x, y = points(line)[0]
        left, top, right, bottom = drawn.bars[source]
        assert (x == pytest.approx(right) and top - 0.1 <= y <= bottom + 0.1) or (left <= x <= right and y == top)
        tip = points(arrow)[1]
        left, top, right, bottom = drawn.bars[target]
        lands_left = tip[0] == pytest.approx(left) and top < tip[1] < bottom
        assert lands_left or (left <= tip[0] <= right and tip[1] == pytest.approx(top))
        assert any(p[0] == pytest.approx(tip[0], abs=0.11) for p in points(line))


def test_relations_are_dashed_and_blocks_are_not(drawn: Drawn) -> None:
    assert not any(line.get("stroke-dasharray") for line in drawn.of_class("block"))
    dashes = {r.get("data-kind"): r.get("stroke-dasharray") for r in drawn.of_class("relation")}
    assert all(dashes.values())
    assert len(set(dashes.values())) == len(dashes)
    assert len(drawn.of_class("identity")) == sum(r.kind == "identity" for r in drawn.topology.relations)
    colours: dict[str | None, set[str | None]] = {}
    for line in drawn.of_class("block"):
        colour = line.get("fill") if line.get("fill") != "none" else line.get("stroke")
        colours.setdefault(line.get("data-kind"), set()).add(colour)
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(set(), *colours.values())) == len(colours)


def test_stronger_bands_have_more_edges(drawn: Drawn) -> None:
    bands = [
        (int(b.get("data-edges", "")), float(b.get("fill-opacity", "")))
        for b in drawn.of_class("block")
        if b.get("fill-opacity")
    ]
    strengths = [strength for _, strength in sorted(bands)]
    assert strengths == sorted(strengths)
    assert len(set(strengths)) > 1 or len({edges for edges, _ in bands}) <= 1


def test_names_sizes_and_activations_are_written_below_each_bar(drawn: Drawn) -> None:
    names = drawn.of_class("names")
    for number, (site, group) in enumerate(zip(drawn.topology.sites, names, strict=True)):
        lines = [t.text or "" for t in group.iter("text")]
        kinds = {drawn.topology.groups[r.group].kind for r in site.runs}
        path = drawn.topology.site_paths[number] or "(network)"
        assert "".join(lines).startswith("".join(kinds) if kinds <= {"input", "vocabulary"} else path)
        assert any(line.split()[0] == f"{site.size:,}" for line in lines)
        assert site.activation in {*lines, "none", "other"}
        assert all(float(t.get("x", "")) == pytest.approx(sum(drawn.bars[number][::2]) / 2) for t in group.iter("text"))
        assert all(float(t.get("y", "")) > drawn.bars[number][3] for t in group.iter("text"))


def test_a_group_has_one_colour_and_shared_groups_have_their_own(drawn: Drawn) -> None:
    fills: dict[int, set[str]] = {}
    for piece in drawn.of_class("neurons"):
        fills.setdefault(int(piece.get("data-group", "")), set()).add(piece.get("fill", ""))
    assert fills.keys() == {run.group for site in drawn.topology.sites for run in site.runs}
    assert all(len(found) == 1 for found in fills.values())
    places = {
        g: {(s, r.rank) for s, site in enumerate(drawn.topology.sites) for r in site.runs if r.group == g}
        for g in fills
    }
    permute = {g for g in fills if drawn.topology.groups[g].kind in ("hidden", "head")}
    shared = [fills[g] for g in permute if len(places[g]) > 1]
    assert len({f.copy().pop() for f in shared}) == len(shared)
    alone = [fills[g] for g in permute if len(places[g]) == 1]
    fixed = [fills[g] for g in fills if g not in permute]
    assert all(len(set.union(*kind)) == 1 for kind in (alone, fixed) if kind)
    assert not set.union(set(), *shared) & set.union(set(), *alone, *fixed)


def test_the_legend_names_what_is_there(drawn: Drawn) -> None:
    told = [e.findtext("text") or "" for e in drawn.of_class("legend")]
    blocks = {b.kind for b in drawn.topology.blocks if b.source is not None}
    assert {t.removesuffix(" weights") for t in told if t.endswith(" weights")} == blocks
    related = {r.kind for r in drawn.topology.relations}
    assert any("the same neurons" in t for t in told) == ("identity" in related)
    assert any("membership" in t for t in told) == ("member" in related)
    assert any("does not permute" in t for t in told)
    fills = {r.get("fill") for r in drawn.root.iter("rect") if r.get("class") == "neurons"}
    swatches = {r.get("fill") for e in drawn.of_class("legend") for r in e.iter("rect")}
    assert fills <= swatches or any("more groups" in t for t in told)


def test_nothing_is_outside_and_no_words_overlap(drawn: Drawn) -> None:
    _, _, right, bottom = (float(n) for n in drawn.root.get("viewBox", "").split())
    corners = [p for path in drawn.root.iter("path") if "H" not in path.get("d", "") for p in points(path)]
    boxes = [rectangle(r) for r in drawn.root.iter("rect")]
    words = [text_box(t) for t in drawn.root.iter("text")]
    corners += [corner for b in boxes + words for corner in (b[:2], b[2:])]
    assert all(0 <= x <= right and 0 <= y <= bottom for x, y in corners)
    texts = [t.text for t in drawn.root.iter("text")]
    ordered = sorted(zip(words, texts, strict=True))
    for i, (a, text) in enumerate(ordered):
        for b, other in itertools.takewhile(lambda found, a=a: found[0][0] < a[2], ordered[i + 1 :]):
            assert not overlap(a, b), (text, other)


def test_a_concatenation_shows_which_neurons_come_from_where(branches: Drawn) -> None:
    bands = branches.of_class("identity")
    assert len(bands) == 3
    for band in bands:
        source, target = (int(band.get(f"data-{end}", "")) for end in ("source", "target"))
        group = branches.topology.sites[source].runs[0].group
        site = branches.of_class("site")[target]
        piece = next(r for r in site.iter("rect") if r.get("data-group") == str(group))
        _, top, _, bottom = rectangle(piece)
        left = branches.bars[target][0]
        ends = sorted({y for x, y in points(band) if x == pytest.approx(left)})
        assert ends == pytest.approx([top, bottom], abs=0.11)
        assert band.get("stroke") == piece.get("fill")


def test_heads_are_called_heads_and_what_weights_make_neurons() -> None:
    picture = Drawn(topology := TOPOLOGIES["grouped queries"](), svg(topology))
    told = {tuple(t.text for t in group.iter("text"))[:2] for group in picture.of_class("names")}
    assert {("q", "8 neurons"), ("k", "4 neurons"), ("v", "4 neurons"), ("(network)", "4 heads")} <= told


def test_taller_bars_hold_more_neurons(branches: Drawn) -> None:
    free = [
        (site.size, bar[3] - bar[1])
        for site, bar in zip(branches.topology.sites, branches.bars, strict=True)
        if branches.topology.groups[site.runs[0].group].kind == "hidden"
    ]
    heights = [height for _, height in sorted(free)]
    assert heights == sorted(heights)
    assert heights[0] < heights[-1]


def test_the_command_writes_what_the_function_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--kwargs", '{"hidden": [7]}', "--title", "a <small> net"]
    assert main(["draw", "mlp", *arguments, "-o", str(tmp_path / "net.svg")]) == 0
    graphs.draw(family("mlp", hidden=[7]), tmp_path / "again.svg", title="a <small> net")
    assert (tmp_path / "net.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
    root = ElementTree.parse(tmp_path / "net.svg").getroot()
    assert next(root.iter("{http://www.w3.org/2000/svg}title")).text == "a <small> net"
    capsys.readouterr()
    assert main(["draw", "mlp", "-o", str(tmp_path / "net.png")]) == 2
    error = capsys.readouterr().err
    assert "expected a file name that ends in .svg, got" in error
    assert "net.png" in error
    assert main(["draw", "mlp", "-o", str(tmp_path / "nowhere" / "net.svg")]) == 2
    assert f"expected a folder {tmp_path / 'nowhere'}" in capsys.readouterr().err


def test_a_network_without_sites_is_an_error() -> None:
    topology = graphs.Topology((), (), (), (), (), graphs.flat_layout({}))
    with pytest.raises(ValueError, match="expected a topology with sites to draw, got none"):
        svg(topology)


def test_the_pictures_of_the_readme_are_what_its_commands_draw() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "draw_readme.py"), "--check"]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    readme = (ROOT / "README.md").read_text()
    assert set(re.findall(r"-o (docs/\w+\.svg)", readme)) == set(re.findall(r"!\[.*?\]\((.*?\.svg)\)", readme))


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
