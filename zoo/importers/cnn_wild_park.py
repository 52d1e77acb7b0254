"""The CNN Wild Park of Kofinas et al. (https://arxiv.org/abs/2403.12143).

``TRIAL/CHECKPOINT/checkpoint.pt`` = {model, optimizer, config, iteration, last_result}. The config is an object of
OmegaConf, of which only the values are read. ``*splits*.json`` = {split: {path, score, step}}.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.importers.documents import number
from zoo.importers.network import OWN, ForeignNetwork, in_order, layout_of, recipe
from zoo.importers.plain import plain
from zoo.importers.published_splits import published_splits
from zoo.importers.sources import Sources
from zoo.importers.torch_files import TorchFile
from zoo.importers.unpickling import Inert, PathText

if TYPE_CHECKING:
    from torch import Tensor

OMEGACONF = ("dictconfig.DictConfig", "listconfig.ListConfig", "base.ContainerMetadata", "base.Metadata")
OMEGACONF += tuple(f"nodes.{kind}Node" for kind in ("Any", "Integer", "String", "Float", "Boolean"))
BUILTINS = ("dict", "list", "int", "long", "str", "unicode", "float", "bool")
ALLOWED: dict[str, type] = {f"omegaconf.{name}": Inert for name in OMEGACONF}
ALLOWED |= {f"{module}.{name}": Inert for module in ("builtins", "__builtin__") for name in BUILTINS}
ALLOWED |= {"typing.Any": Inert, "typing.List": Inert, "typing.Dict": Inert, "typing.Union": Inert}
ALLOWED |= {"collections.defaultdict": Inert, "*.CNNConfig": Inert, "*.PosixPath": PathText}
ACTIVATIONS = {name: name for name in ("relu", "gelu", "tanh", "sigmoid", "leaky_relu")} | {"none": "identity"}
LISTS = ("kernel_size", "stride", "padding", "residual", "activation")
METRICS = {"test/acc": "test_accuracy", "test/loss": "test_loss"}
SIDE = 32


def read(sources: Sources) -> Iterator[ForeignNetwork]:
    """The networks of the zoo, one a trial, their iterations as epochs."""
    trials: dict[Path, list[Path]] = {}
    for path in sources.find("**/checkpoint.pt"):
        trials.setdefault(path.parent.parent, []).append(path)
    splits = published_splits(sources)
    for trial, paths in trials.items():
        yield _network(sources, trial, paths, {s: _split(found, sources, paths) for s, found in splits.items()})


def _network(sources: Sources, trial: Path, paths: list[Path], columns: dict[str, Any]) -> ForeignNetwork:
    import torch

    states = sorted((_state(sources(path)) for path in paths), key=lambda state: state["iteration"])
    epochs = tuple(state["iteration"] for state in states)
    if len(set(epochs)) != len(epochs):
        raise ValueError(f"{trial}: expected checkpoints of different iterations, got {list(epochs)}")
    first = states[0]
    made = _recipe(first["config"], list(first["model"].values()), str(trial))
    layout = layout_of(made)
    if any(state["config"] != first["config"] for state in states):
        raise ValueError(f"{trial}: expected one config in all checkpoints, got several")
    return ForeignNetwork(
        source=sources.name(trial),
        recipe=made,
        layout=layout,
        epochs=epochs,
        states=torch.stack([in_order(layout, _checked(state, layout), str(trial)) for state in states]),
        metrics={ours: [number(state["result"].get(theirs)) for state in states] for theirs, ours in METRICS.items()},
        columns={f"config.{name}": value for name, value in first["config"].items()} | columns,
    )


def _state(path: Path) -> dict[str, Any]:
    """Weights, config, iteration and results of a checkpoint."""
    file = TorchFile(path, ALLOWED)
    content = file.content if isinstance(file.content, dict) else {}
    iteration, result = content.get("iteration"), content.get("last_result")
    config = plain(content.get("config"), str(path))
    if type(iteration) is not int or not 0 <= iteration < 2**31 or not isinstance(config, dict):
        raise ValueError(f"{path}: expected model, config and iteration, got {', '.join(map(str, content))[:200]}")
    result = result if isinstance(result, dict) else {}
    return {"model": file.state_dict(content.get("model")), "config": config, "iteration": iteration, "result": result}


def _checked(state: dict[str, Any], layout: Any) -> "list[Tensor]":
    """The tensors in the order of the layout; their names are those of the rebuilt network."""
    names = [entry.name for entry in layout.stored]
    if list(state["model"]) != names:
        raise ValueError(f"iteration {state['iteration']}: expected the entries {names}, got {list(state['model'])}")
    return list(state["model"].values())


def _recipe(config: dict[str, Any], tensors: "list[Tensor]", where: str) -> dict[str, Any]:
    """The recipe of the weights' own sizes; what the config says besides has to fit them."""
    kernels = [tensor.shape for tensor in tensors if tensor.dim() == 4]
    head = [tensor.shape for tensor in tensors if tensor.dim() == 2]
    lists = {name: config.get(name) for name in LISTS}
    if not kernels or len(head) != 1 or any(not isinstance(v, list) or len(v) != len(kernels) for v in lists.values()):
        raise ValueError(
            f"{where}: expected {len(kernels)} convolutions with {', '.join(LISTS)}, got {str(config)[:300]}"
        )
    channels = [kernels[0][1], *(shape[0] for shape in kernels)]
    if config.get("channels") != channels or config["kernel_size"] != [shape[2] for shape in kernels]:
        raise ValueError(
            f"{where}: its config contradicts its weights of {list(map(tuple, kernels))}: {str(config)[:300]}"
        )
    for i, (kernel, stride, padding, residual, activation) in enumerate(zip(*lists.values(), strict=True)):
        counts = all(type(n) is int for n in (kernel, stride, padding, residual))
        if (
            not counts
            or not 1 <= stride <= 4
            or not 0 <= padding <= kernel
            or not -1 <= residual < max(i, 1) - (i == 0)
        ):
            raise ValueError(
                f"{where}: convolution {i} cannot have stride {stride}, padding {padding}, residual {residual}"
            )
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"{where}: expected an activation of {', '.join(ACTIVATIONS)}, got {str(activation)[:80]!r}"
            )
    return recipe(
        f"{OWN}WildParkCNN",
        channels=channels,
        kernel=lists["kernel_size"],
        stride=lists["stride"],
        padding=lists["padding"],
        residual=lists["residual"],
        activations=[ACTIVATIONS[name] for name in config["activation"]],
        outputs=head[0][0],
        example_shape=[channels[0], SIDE, SIDE],
    )


def _split(found: dict[str, str], sources: Sources, paths: list[Path]) -> str | None:
    """The split of a network: that of its checkpoints, which are grouped by network."""
    names = {found[tail] for path in paths if (tail := "/".join(path.parts[-3:])) in found}
    if len(names) > 1:
        raise ValueError(f"{sources.name(paths[0])}: its checkpoints are in several splits: {', '.join(sorted(names))}")
    return next(iter(names), None)
