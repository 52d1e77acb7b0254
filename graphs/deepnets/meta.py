"""The JSON beside a file of architectures: the arguments of each, and what the numbers in the file mean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from graphs.deepnets.naming import Words
from graphs.deepnets.plan import Plan
from graphs.deepnets.space import JUDGED, parameter_count
from graphs.recipe import Recipe

# A file holds the channels of these splits before they are widened.
WIDENING = {"wide": 4}
# The arguments that published files hold beside the genotype.
PUBLISHED = tuple("norm ks preproc glob_avg stem_pool C_mult n_cells fc_layers C fc_dim stem_type".split())
JUDGED_NAMES = ("cifar10", "imagenet")


class Meta(NamedTuple):
    """What is said of one split: an entry an architecture, the words, and the digest of the whole file."""

    nets: list[Mapping[str, Any]]
    words: Words
    digest: str


def row_of(recipe: Recipe, split: str, num_nodes: int) -> dict[str, Any]:
    """A network's entry. Raises ValueError where it cannot be of the split."""
    plan, factor = Plan.of(recipe.arguments), WIDENING.get(split, 1)
    if plan.C % factor:
        raise ValueError(f"expected channels divisible by {factor} in the split {split!r}, got {plan.C}")
    sizes = {name: parameter_count(plan, *images) for name, images in zip(JUDGED_NAMES, JUDGED, strict=True)}
    # The published name of a norm with the statistics of the batch.
    norm = "bnorm" if plan.norm == "bn" else plan.norm
    changed = {"norm": norm, "C": plan.C // factor, "num_nodes": num_nodes, "num_params": sizes}
    return {**{name: getattr(plan, name) for name in PUBLISHED}, **recipe.arguments, **changed}


def recipe_of(row: Mapping[str, Any], split: str, asked: Mapping[str, Any]) -> Recipe:
    """The recipe of an entry.

    Args:
        row: the entry. split: that it is of.
        asked: arguments where the entry tells none.

    Raises ValueError for values that cannot be, KeyError where a published argument is missing.
    """
    # Published files of training leave the channels to their reader.
    told = {name: row[name] for name in PUBLISHED if name != "C"}
    extra = {name: row[name] for name in Plan.__dataclass_fields__ if name in row}
    changed = {
        "genotype": row["genotype"],
        "norm": "bn" if row["norm"] == "bnorm" else row["norm"],
        "C": row.get("C", 32) * WIDENING.get(split, 1),
    }
    recipe = Recipe("deepnet", {**asked, **extra, **told, **changed})
    Plan.of(recipe.arguments)
    return recipe


def checked(path: Path | str) -> Path:
    """The path of an HDF5 file. Raises ValueError for one of another ending."""
    if Path(path).suffix != ".hdf5":
        raise ValueError(f"expected a file NAME.hdf5, got {str(path)!r}; its arguments are in NAME_meta.json beside it")
    return Path(path)


def meta_path(path: Path) -> Path:
    """Of the JSON file beside it."""
    return path.with_name(f"{path.stem}_meta.json")


def digest_of(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def read_meta(path: Path, split: str) -> Meta:
    """What the JSON file beside ``path`` says of a split. Raises ValueError where it does not."""
    for needed in (path, meta_path(path)):
        if not needed.is_file():
            raise ValueError(f"no file {needed}; a file of architectures is NAME.hdf5 with NAME_meta.json beside it")
    text = meta_path(path).read_bytes()
    try:
        meta = json.loads(text)
        if split not in meta:
            raise ValueError(f"no split {split!r}; it has {', '.join(meta)}")
        return Meta(list(meta[split]["nets"]), Words.from_dict(meta[split]["meta"]), digest_of(text))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{meta_path(path)} is not the meta file of architectures: {error}") from error
