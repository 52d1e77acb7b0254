"""The card of a zoo's data set: what it is, how it was made, how to read it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphs.durable import write_durably

if TYPE_CHECKING:
    import pyarrow as pa

SIZES = {1e3: "n<1K", 1e4: "1K<n<10K", 1e5: "10K<n<100K", 1e6: "100K<n<1M", 1e7: "1M<n<10M", 1e8: "10M<n<100M"}

READING = """```python
import datasets, zoo

rows = datasets.load_dataset("{place}", split="{split}")  # streaming=True reads a row group at a time
weights = zoo.state_dict_of(rows[0])  # bit for bit the state_dict of the trained module
net = zoo.module_of(rows[0])  # the network itself
```

Without metazoo: `layout = json.loads(row["layout"])` and `numpy.frombuffer(row["weights"], layout["dtype"])` give the
flat vector of a network's floating state_dict entries; `layout["entries"]` says where each of them lies in it (name,
shape, offset; `tied_to` where two names share one tensor). Integer entries are a safetensors file in `row["other"]`."""


def write_card(folder: Path, about: dict[str, Any], schema: "pa.Schema", sizes: dict[str, dict[str, int]]) -> None:
    """Write ``README.md``: the YAML that the hub and ``datasets`` read, then the card.

    Args:
        about: what ``about.yaml`` says.
        schema: of the parquet files.
        sizes: split -> rows and bytes in memory.
    """
    text = f"---\n{_yaml(folder, about, schema, sizes)}\n---\n\n{_card(about, sizes)}"
    write_durably(folder / "README.md", text.encode())


def _yaml(folder: Path, about: dict[str, Any], schema: "pa.Schema", sizes: dict[str, dict[str, int]]) -> str:
    from datasets import DatasetInfo, Features
    from datasets.info import DatasetInfosDict
    from datasets.splits import SplitDict, SplitInfo
    from huggingface_hub import DatasetCardData

    splits = SplitDict()
    for name, size in sizes.items():
        splits.add(SplitInfo(name, num_bytes=size["bytes"], num_examples=size["rows"]))
    data = DatasetCardData(
        license=about["licence"],
        pretty_name=_title(about),
        size_categories=next((word for bound, word in SIZES.items() if about["states"] < bound), "n>1B"),
        tags=["weight-space-learning", "model-zoo", "metazoo"],
        configs=[{"config_name": "default", "data_files": [_files(name) for name in sizes]}],
    )
    info = DatasetInfo(
        features=Features.from_arrow_schema(schema),
        splits=splits,
        download_size=sum(path.stat().st_size for path in (folder / "data").iterdir()),
        dataset_size=sum(size["bytes"] for size in sizes.values()),
    )
    DatasetInfosDict({"default": info}).to_dataset_card_data(data)
    return data.to_yaml()


def _files(split: str) -> dict[str, str]:
    return {"split": split, "path": f"data/{split}-*.parquet"}


def _title(about: dict[str, Any]) -> str:
    families = " and ".join(about["families"])
    on = f" trained on {about['data']['name']}" if about["data"] and not about["imported"] else ""
    return f"{about['networks']:,} networks ({families}){on}"


def _card(about: dict[str, Any], sizes: dict[str, dict[str, int]]) -> str:
    splits = [f"| {name} | {about['splits'][name]:,} | {size['rows']:,} |" for name, size in sizes.items()]
    parameters = sorted(set(about["parameters"].values()))
    sections = {
        _title(about): f"A model zoo: {about['states']:,} sets of weights ({about['which_states']} kept states) of "
        f"{about['networks']:,} networks, {_span(parameters)} parameters each, "
        f"{len(about['parameters'])} architecture(s). Status: {_counts(about['status'])}.",
        "Splits": "\n".join(["| split | networks | states |", "|---|---|---|", *splits])
        + "\n\nBy a hash of a network's id: all states of a network are in one split.",
        "Hyper-parameters": "\n".join(["| name | values |", "|---|---|", *_grid(about["hyperparameters"])]),
        "How it was made": _making(about),
        "Reading it": READING.format(
            place="path/or/id/of/this/folder", split="train" if "train" in sizes else next(iter(sizes))
        ),
        "Licence": f"{about['licence']}. The data that the networks were trained on have their own.",
        "Citation": "```bibtex\n@misc{metazoo,\n  title = {metazoo: neural networks as data},\n"
        "  author = {The metazoo authors},\n  year = {2026}\n}\n```",
    }
    (title, first), *rest = sections.items()
    return f"# {title}\n\n{first}\n" + "".join(f"\n## {name}\n\n{text}\n" for name, text in rest)


def _grid(hyperparameters: dict[str, Any]) -> list[str]:
    return [f"| {name} | {_shown(values)} |" for name, values in hyperparameters.items()]


def _shown(values: list[Any] | dict[str, Any]) -> str:
    if isinstance(values, dict):
        return f"{values['from']} to {values['to']} ({values['distinct']:,} values)"
    return ", ".join(str(value).replace("|", "\\|") for value in values)


def _making(about: dict[str, Any]) -> str:
    lines = [f"Trainers: {_counts(about['trainers'])}."]
    if about["imported"]:
        lines.append(f"Imported from the format {about['imported'].get('format')}.")
    elif about["data"]:
        lines.append(f"Data: {about['data']['name']}, fingerprint `{about['data'].get('fingerprint', 'unknown')}`.")
    if about["versions"]:
        lines.append(f"Versions: {', '.join(f'{name} {version}' for name, version in about['versions'].items())}.")
    if about["spec"]:
        lines.append(f"Built by `zoo build` from this spec:\n\n```yaml\n{about['spec'].strip()}\n```")
    return "\n\n".join(lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _span(values: list[int]) -> str:
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"
