"""Writing the report on a zoo."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from graphs.durable import write_durably
from zoo.reporting.page import MARK, render_page
from zoo.reporting.plots.sizes import zoo_files
from zoo.reporting.registry import SECTIONS, make_section
from zoo.reporting.survey import Survey, silent
from zoo.reporting.words import bytes_words
from zoo.store import open_zoo


def write_report(
    root: str | Path, out: str | Path = "report.html", limit: int = 2000, seed: int = 0, progress: bool = True
) -> dict[str, Any]:
    """Write what there is to see in a zoo, complete or not, as one HTML page that needs no network.

    Counts, distributions and duplicates are those of all networks; networks that are drawn one by one, or whose
    weights are read for a plot, are at most ``limit``, and the page says so. Equal zoos give equal pages.

    Args:
        root: the folder of the zoo.
        out: the page; an earlier report there is replaced in one step, any other file is left alone.
        limit: most networks drawn one by one.
        seed: of their choice.
        progress: show bars on standard error.

    Returns the page's path and bytes, the names of its plots, and counts of networks and of those that diverged. Raises
    ValueError when the folder holds no zoo or no network yet, for a destination that is not to be written, and for a
    limit below 1; ImportError without plotly.

    >>> import tempfile, zoo
    >>> spec = zoo.ZooSpec(data={"source": "digits", "limit": 50}, recipes=("mlp",), members=4, epochs=1)
    >>> z = zoo.build(spec, tempfile.mkdtemp(), workers=0, progress=False)
    >>> write_report(z.root, z.root / "report.html", progress=False)["networks"]
    4
    """
    if limit < 1:
        raise ValueError(f"limit: expected a count of networks >= 1, got {limit}")
    _need_plotly()
    destination = _destination(out)
    survey = Survey(open_zoo(root), limit, seed, _bar if progress else silent)
    if not len(survey):
        raise ValueError(f"expected a zoo with networks, but none of {root} is trained yet; go on with `zoo build`")
    sections = [make_section(name, survey) for name in survey.progress("sections", SECTIONS)]
    page = render_page(f"Zoo report: {Path(root).resolve().name}", _facts(survey), sections).encode()
    write_durably(destination, page)
    plots = [plot.name for section in sections for plot in section.plots]
    counts = {"networks": len(survey), "diverged": int((~survey.ok).sum())}
    return {"page": str(destination), "bytes": len(page), "plots": plots, **counts}


def _need_plotly() -> None:
    try:
        import plotly  # noqa: F401
    except ImportError as error:
        raise ImportError('the report needs plotly; install it with pip install "metazoo[report]"') from error


def _destination(out: str | Path) -> Path:
    """The page's path; raises ValueError where something else stands or no file can be."""
    path = Path(out)
    if path.is_dir() or not path.parent.is_dir():
        wrong = "is a folder" if path.is_dir() else "lies in no folder that exists"
        raise ValueError(f"expected a file to write the report to, but {path} {wrong}; give another name")
    if path.exists() and not _is_report(path):
        raise ValueError(f"{path} is there and is no report of a zoo, so it is left as it is; give another name")
    return path


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK.encode() in file.read(1000)


def _bar(what: str, items: Iterable[Any]) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(items, desc=what, leave=False)


def _facts(survey: Survey) -> dict[str, str]:
    """The tiles at the top of the page."""
    import numpy as np

    facts = {"networks": f"{len(survey):,}", "states": f"{len(survey.zoo.samples()):,}"}
    facts["architectures"] = f"{len(set(survey.texts('architecture').tolist())):,}"
    facts["data"] = Path(survey.zoo.store.manifest.header["data"]["name"]).name
    facts["size"] = bytes_words(sum(path.stat().st_size for path in zoo_files(survey.zoo.root)))
    facts["diverged"] = f"{int((~survey.ok).sum()):,}"
    there = survey.final[np.isfinite(survey.final)]
    if survey.score is not None and len(there):
        best = there.max() if survey.score.higher_is_better else there.min()
        facts |= {
            f"median {survey.score.title}": f"{np.median(there):.4g}",
            f"best {survey.score.title}": f"{best:.4g}",
        }
    return facts
