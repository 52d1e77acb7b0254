"""The report page: what it says, what it never overwrites, and that a browser draws all of it without a word."""

import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import zoo
from zoo.__main__ import main
from zoo.manifest import Manifest, file_record
from zoo.reporting.page import POLICY
from zoo.table import table_bytes

MakeSpec = Callable[..., zoo.ZooSpec]

# Opens every view, filters lines by dragging a box and has them back, then tells what was drawn in each plot and where.
USE = """
const wait = (ms) => new Promise((then) => setTimeout(then, ms));
const views = [];
for (const button of document.querySelectorAll(".choices button")) {
  button.click();
  await wait(50);
  const plot = document.getElementById(button.dataset.plot);
  const names = plot._fullData.filter((trace) => trace.visible === true && trace.showlegend).map((trace) => trace.name);
  views.push([plot.id, button.dataset.view, names, plot.querySelectorAll("g.trace").length]);
}
const plot = document.getElementById("coordinates-plot"), area = plot.querySelector(".nsewdrag");
const count = () => plot._fullData.flatMap((t) => Array.from(t.y)).filter((v) => Number.isFinite(v)).length;
const point = (type, to, x, y) => {
  const box = area.getBoundingClientRect();
  const place = { clientX: box.left + x * box.width, clientY: box.top + y * box.height, view: window, buttons: 1 };
  to.dispatchEvent(new MouseEvent(type, { bubbles: true, cancelable: true, ...place }));
};
const lines = [count()];
point("mousedown", area, 0.9, 0.02);
for (const [x, y] of [[0.95, 0.1], [0.99, 0.3]]) { await wait(50); point("mousemove", document, x, y); }
point("mouseup", document, 0.99, 0.3);
await wait(500);
lines.push(count());
for (let click = 0; click < 2; click++) {
  point("mousedown", area, 0.4, 0.9); await wait(20); point("mouseup", document, 0.4, 0.9); await wait(20);
}
await wait(500);
lines.push(count());
for (const first of document.querySelectorAll(".choices button:first-of-type")) first.click();
await wait(50);
const plots = [...document.querySelectorAll(".plot")].map((plot) => {
  const box = plot.getBoundingClientRect();
  const shown = plot._fullData.filter((trace) => trace.visible === true).length;
  return {
    name: plot.id, box: [box.left, box.top + scrollY, box.right, box.bottom + scrollY], shown,
    traces: plot.querySelectorAll("g.trace").length, panels: plot.querySelectorAll("g.subplot").length,
  };
});
const headings = [...document.querySelectorAll("h2")].map((heading) => heading.textContent);
tell({ views, lines, plots, headings });
"""


@dataclass(frozen=True)
class Seen:
    """What a browser made of a page: what the script told, the console's lines, the screenshot."""

    told: dict[str, Any]
    console: list[str]
    image: bytes


@pytest.fixture(scope="module")
def browse(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Seen]:
    """Opens a page in headless Chromium, without any network, and runs a script in it once all is drawn."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium to open the page with; apt-get install chromium")

    def open_page(page: str, script: str) -> Seen:
        folder = tmp_path_factory.mktemp("browser")
        tell = "const tell = (x) => { const p = document.createElement('pre'); p.id = 'told'; p.hidden = true;"
        tell += " p.textContent = JSON.stringify(x); document.body.append(p); };"
        body, end = page.rsplit("</body>", 1)
        run = f"<script>{tell} (window.drawn || Promise.resolve()).then(async () => {{ {script} }});</script>"
        (folder / "page.html").write_text(f"{body}{run}</body>{end}", encoding="utf-8")
        options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=1000,12000", "--dump-dom"]
        options += [f"--screenshot={folder / 'page.png'}", "--virtual-time-budget=20000", "--enable-logging=stderr"]
        options += [f"--user-data-dir={folder / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
        command = [chromium, *options, (folder / "page.html").as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        told = re.search(r'<pre id="told"[^>]*>(.*?)</pre>', done.stdout, re.S)
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        assert told or console, done.stderr[-2000:]
        return Seen(json.loads(unescape(told[1])) if told else {}, console, (folder / "page.png").read_bytes())

    return open_page


@pytest.fixture(scope="module")
def varied_zoo(small_spec: MakeSpec, tmp_path_factory: pytest.TempPathFactory) -> zoo.Zoo:
    """Thirty networks of two recipes, some of which diverge."""
    random = {"activation": ["relu", "identity"], "optimiser": ["sgd", "adam"], "lr": {"loguniform": [1e-3, 1e10]}}
    spec = small_spec(members=30, random=random, epochs=3, keep=[0, 1, 3], trainer="stacked")
    return zoo.build(spec, tmp_path_factory.mktemp("varied") / "zoo", workers=0, progress=False)


@pytest.fixture(scope="module")
def report(varied_zoo: zoo.Zoo, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What was written of it, and the page."""
    told = zoo.write_report(varied_zoo.root, tmp_path_factory.mktemp("report") / "report.html", progress=False)
    return told, Path(told["page"]).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def seen(report: tuple[dict[str, Any], str], browse: Callable[[str, str], Seen]) -> Seen:
    """The page in a browser."""
    return browse(report[1], USE)


def written(z: zoo.Zoo, folder: Path, **options: Any) -> tuple[dict[str, Any], str]:
    """What was told of a zoo's report, and the text of its page without scripts."""
    told = zoo.write_report(z.root, folder / "report.html", progress=False, **options)
    page = (folder / "report.html").read_text(encoding="utf-8")
    return told, unescape(re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", " ", page, flags=re.S))


def test_a_browser_draws_every_plot_and_says_nothing(report: tuple[dict[str, Any], str], seen: Seen) -> None:
    assert seen.console == []
    assert [plot["name"] for plot in seen.told["plots"]] == report[0]["plots"]
    assert len(seen.told["headings"]) == 9
    image = Image.open(io.BytesIO(seen.image))
    assert image.format == "PNG"
    image = image.convert("RGB")
    for plot in seen.told["plots"]:
        assert plot["traces"] >= plot["shown"] > 0, plot
        drawn = image.crop(tuple(plot["box"]))
        colours = drawn.getcolors(drawn.width * drawn.height)
        assert colours is not None
        assert len(colours) > 50, plot
        assert max(count for count, _ in colours) < 0.99 * drawn.width * drawn.height, plot


def test_views_can_be_changed_and_lines_filtered(seen: Seen) -> None:
    views = {(plot, view): names for plot, view, names, _ in seen.told["views"]}
    assert {view for _, view in views} == {"family", "activation", "optimiser", "lr", "width", "split"}
    assert [name.split()[0] for name in views["curves-plot", "activation"]] == ["identity", "relu"]
    assert [name.split()[0] for name in views["norms-plot", "family"]] == ["cnn", "mlp"]
    assert all(traces > 0 for *_, traces in seen.told["views"])
    everything, some, again = seen.told["lines"]
    assert 0 < some < everything
    assert again == everything


def test_a_page_that_fails_is_noticed(browse: Callable[[str, str], Seen]) -> None:
    seen = browse("<body><script>undefinedFunction()</script></body>", "console.warn('careful'); tell({});")
    assert len(seen.console) == 2


def test_nothing_is_asked_of_any_network(report: tuple[dict[str, Any], str]) -> None:
    _, page = report
    assert f'content="{POLICY}"' in page
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', own)
    assert page.count("plotly.js v") == 1


def test_diverged_networks_are_listed_with_their_settings_and_are_no_duplicates(
    varied_zoo: zoo.Zoo, report: tuple[dict[str, Any], str]
) -> None:
    told, page = report
    lost = [row for row in varied_zoo.table.to_pylist() if row["status"] == "diverged"]
    assert 1 < len(lost) == told["diverged"] < 30
    section = page.split('<section id="diverged">')[1].split("</section>")[0]
    rows = {cells[0]: cells[1:] for cells in (re.findall(r"<td>(.*?)</td>", r) for r in section.split("<tr>")) if cells}
    for row in lost:
        assert rows[row["id"]][0] == row["family"]
        assert f"{row['lr']:.4g}" in rows[row["id"]]
    duplicates = page.split('<section id="duplicates">')[1].split("</section>")[0]
    assert f"None among the {30 - len(lost)} networks" in duplicates


def test_provenance_tells_spec_versions_seeds_and_checksums(
    varied_zoo: zoo.Zoo, report: tuple[dict[str, Any], str]
) -> None:
    page = unescape(report[1])
    manifest = varied_zoo.store.manifest
    known = [manifest.header["spec"], manifest.header["data"]["fingerprint"], varied_zoo.spec.to_yaml()]
    known += [record["sha256"] for record in [*manifest.shards.values(), *manifest.files.values()]]
    known += [manifest.header["versions"]["torch"], "30 different among 30 networks", "stacked"]
    assert [fact for fact in known if fact not in page] == []


def test_equal_zoos_give_equal_pages(varied_zoo: zoo.Zoo, report: tuple[dict[str, Any], str], tmp_path: Path) -> None:
    zoo.write_report(varied_zoo.root, tmp_path / "again.html", progress=False)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == report[1]


def test_networks_left_out_of_drawings_are_told(small_zoo: zoo.Zoo, tmp_path: Path) -> None:
    _, text = written(small_zoo, tmp_path, limit=4)
    assert "4 networks, drawn at random of 12" in text
    assert "Norms of 4 of the 12 networks" in text
    _, text = written(small_zoo, tmp_path)
    assert "drawn at random" not in text
    assert "A projection needs 3 networks" in written(small_zoo, tmp_path, limit=1)[1]


def test_image_networks_are_told_by_their_psnr(small_spec: MakeSpec, tmp_path: Path) -> None:
    spec = small_spec(recipes=["siren"], members=4, random={"lr": {"loguniform": [1e-4, 1e-2]}})
    told, text = written(zoo.build(spec, tmp_path / "zoo", workers=0, progress=False), tmp_path)
    assert "Distribution of PSNR, dB" in text
    assert "accuracy" not in text
    assert "projection-1" in told["plots"]


def test_one_network_of_one_state_is_enough(small_spec: MakeSpec, tmp_path: Path) -> None:
    z = zoo.build(small_spec(recipes=["mlp"], members=1, keep=None), tmp_path / "zoo", workers=0, progress=False)
    told, text = written(z, tmp_path)
    assert told["plots"] == ["distribution-recipe", "distribution-split", "distribution-class", "norms-plot"]
    assert "Only the state of epoch 2 was kept" in text
    assert "A projection needs 3 networks" in text


def test_a_zoo_trained_by_steps_counts_steps_and_shows_its_classes(small_spec: MakeSpec, tmp_path: Path) -> None:
    random = {"poison_fraction": [0.0, 0.2], "schedule": ["constant", "cosine"]}
    spec = small_spec(recipes=["mlp"], random=random, epochs=None, steps=20, keep=[0, 20], members=6)
    told, text = written(zoo.build(spec, tmp_path / "zoo", workers=0, progress=False), tmp_path)
    assert "distribution-class" in told["plots"]
    assert "Every metric over the steps whose states were kept" in text
    page = (tmp_path / "report.html").read_text()
    assert '"title":{"text":"step"' in page
    assert '"text":"epoch"' not in page
    # The hyper-parameters that vary are axes; the others of their kind are not.
    assert ["poison fraction" in page, "schedule" in page, "step size" in page] == [True, True, False]


def test_a_zoo_where_all_diverged_is_told(small_spec: MakeSpec, tmp_path: Path) -> None:
    spec = small_spec(recipes=["mlp"], members=3, random={}, fixed={"lr": 1e30, "optimiser": "sgd"}, keep=[1, 2])
    told, text = written(zoo.build(spec, tmp_path / "zoo", workers=0, progress=False), tmp_path)
    assert (told["networks"], told["diverged"], told["plots"]) == (3, 3, [])
    assert "3 of 3 networks (100.0%) diverged" in text


def begun_again(root: Path, shards: int | None, **header: Any) -> None:
    """A manifest with another header and the first shards alone; ``None``: with all that is there."""
    there = Manifest.read(root)
    here = Manifest.create(root, there.header | header)
    for record in list(there.shards.values())[:shards]:
        here.add_shard(record)
    if shards is None:
        here.complete(there.files)


def test_a_zoo_that_was_not_built_from_a_spec_is_told(small_zoo: zoo.Zoo, tmp_path: Path) -> None:
    root = Path(shutil.copytree(small_zoo.root, tmp_path / "foreign"))
    (root / "spec.yaml").unlink()
    begun_again(root, shards=None, spec=None, imported={"format": "some-format", "files": 7})
    _, text = written(zoo.open(root), tmp_path)
    assert "none: not built from a spec" in text
    assert "files 7, format some-format" in text


def test_a_zoo_without_metrics_still_shows_its_weights(small_zoo: zoo.Zoo, tmp_path: Path) -> None:
    root = Path(shutil.copytree(small_zoo.root, tmp_path / "silent"))
    table = small_zoo.table.drop_columns(list(small_zoo[0].metrics))
    (root / "table.arrow").write_bytes(table_bytes(table))
    Manifest.read(root).complete({"table.arrow": file_record(root / "table.arrow")})
    told, text = written(zoo.open(root), tmp_path)
    assert "This zoo has no metrics." in text
    assert {"projection-1", "norms-plot"} <= set(told["plots"])
    assert "distribution-recipe" not in told["plots"]


def test_a_zoo_still_being_built_shows_what_is_there(small_zoo: zoo.Zoo, tmp_path: Path) -> None:
    root = Path(shutil.copytree(small_zoo.root, tmp_path / "begun"))
    begun_again(root, shards=2)
    assert written(zoo.open(root), tmp_path)[0]["networks"] == 6
    begun_again(root, shards=0)
    with pytest.raises(ValueError, match="begun is trained yet"):
        zoo.write_report(root, tmp_path / "report.html", progress=False)


def test_names_cannot_break_the_page(small_zoo: zoo.Zoo, tmp_path: Path) -> None:
    root = shutil.copytree(small_zoo.root, tmp_path / "a<script>alert(1)</b>&c")
    zoo.write_report(root, tmp_path / "report.html", progress=False)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<h1>Zoo report: b&gt;&amp;c</h1>" in page


def test_only_a_report_is_replaced(small_zoo: zoo.Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.html"
    mine.write_text("<html>my own page</html>")
    assert main(["report", str(small_zoo.root), "-o", str(mine), "--quiet"]) == 2
    assert f"{mine} is there and is no report of a zoo" in capsys.readouterr().err
    assert mine.read_text() == "<html>my own page</html>"
    page = tmp_path / "report.html"
    for _ in range(2):
        assert main(["report", str(small_zoo.root), "-o", str(page), "--quiet", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["bytes"] == page.stat().st_size < 12e6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.html", "report.html"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["nowhere"], "expected a zoo in nowhere"),
        (["ZOO", "-o", "no/such/folder/r.html"], "lies in no folder that exists"),
        (["ZOO", "-o", "."], "is a folder"),
        (["ZOO", "--limit", "0"], "limit: expected a count of networks >= 1, got 0"),
    ],
)
def test_a_callers_mistake_is_one_line(
    options: list[str], told: str, small_zoo: zoo.Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    arguments = [str(small_zoo.root) if word == "ZOO" else word for word in options]
    assert main(["report", *arguments, "--quiet"]) == 2
    shown = capsys.readouterr().err
    assert told in shown
    assert shown.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
