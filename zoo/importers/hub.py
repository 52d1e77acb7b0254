"""Models in the format of the Hugging Face hub: folders with config.json and safetensors, in one file or several.

A model of transformers becomes a recipe where that library is installed and its own class, built from the
configuration, has exactly these weights; code that comes with a model is never run.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.importers.array_files import open_safetensors
from zoo.importers.documents import read_json
from zoo.importers.folder import check_fit, layout_from
from zoo.importers.network import ForeignNetwork, layout_of, recipe, unknown
from zoo.importers.sources import Sources
from zoo.importers.transformers_models import why_not_rebuilt

if TYPE_CHECKING:
    from torch import Tensor

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"


def read(sources: Sources) -> Iterator[ForeignNetwork]:
    """The models of the folder and of the folders in it, one a config.json."""
    for path in sources.find("**/config.json"):
        if (path.parent / SINGLE).is_file() or (path.parent / INDEX).is_file():
            yield _network(sources, path)


def _network(sources: Sources, path: Path) -> ForeignNetwork:
    config = read_json(sources(path))
    state = _weights(sources, path.parent)
    made = _recipe(config, state)
    layout = layout_from(state) if made["factory"].endswith(":unknown") else layout_of(made)
    # A tied entry is written once, under its first name.
    full = {e.name: state[e.name] if e.name in state else state[str(e.tied_to)] for e in layout.entries}
    check_fit(layout, full, path.parent)
    name = sources.name(path.parent)
    return ForeignNetwork(
        source=name if name != "." else path.parent.resolve().name,
        recipe=made,
        layout=layout,
        epochs=(1,),
        states=layout.flatten(full)[None],
        columns={k: config.get(k) for k in ("model_type", "architectures", "torch_dtype", "_name_or_path")},
        other={name: value[None] for name, value in layout.other(full).items()},
    )


def _weights(sources: Sources, folder: Path) -> "dict[str, Tensor]":
    """The tensors of all files; those that an index lists have to be there, each where it says."""
    if not (folder / INDEX).is_file():
        return open_safetensors(sources(folder / SINGLE))
    where = sources(folder / INDEX)
    weight_map = read_json(where).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{where}: expected a weight_map of names to files")
    here = Sources(folder)
    files = {name: here.inside(name, where) for name in sorted(set(map(str, weight_map.values())))}
    opened = {name: open_safetensors(sources(path)) for name, path in files.items()}
    found = {tensor: name for name, tensors in opened.items() for tensor in tensors}
    if found != weight_map or sum(map(len, opened.values())) != len(found):
        raise ValueError(f"{where}: its files do not hold the tensors that it lists, each once")
    return {tensor: opened[name][tensor] for tensor, name in weight_map.items()}


def _recipe(config: dict[str, Any], state: "Mapping[str, Tensor]") -> dict[str, Any]:
    why = why_not_rebuilt(config, {name: tuple(tensor.shape) for name, tensor in state.items()})
    if why is not None:
        return unknown(state, why)
    vision = isinstance(config.get("image_size"), int)
    shape = [config.get("num_channels", 3), config["image_size"], config["image_size"]] if vision else None
    return recipe("zoo.importers.transformers_models:network", config=config, example_shape=shape)
