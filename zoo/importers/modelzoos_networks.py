"""The architectures of ModelZoos, recognised by the shapes of their weights."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo.importers.network import recipe

if TYPE_CHECKING:
    from torch import Tensor

ACTIVATIONS = {"leakyrelu": "leaky_relu"} | {name: name for name in ("relu", "tanh", "sigmoid", "silu", "gelu")}
# Kernels and pooling windows of the convolutions with the side of the image, by the channels of the convolutions.
CNNS: dict[tuple[int, ...], tuple[list[int], list[int], int]] = {
    (8, 6, 4): ([5, 5, 2], [2, 2, 1], 28),
    (6, 9, 6): ([5, 5, 2], [2, 2, 1], 28),
    (16, 32, 15): ([3, 3, 3], [2, 2, 2], 32),
}


def weights_in_order(state: "Mapping[str, Tensor]", where: str) -> "list[Tensor]":
    """Weight and bias of every layer in the order of the layers.

    Dropout modules shift the numbers of the layers, so that only their order means something.
    """
    found: dict[tuple[int, str], Tensor] = {}
    for name, tensor in state.items():
        parts = re.fullmatch(r"module_list\.(\d{1,6})\.(weight|bias)", name)
        if parts is None or (int(parts[1]), parts[2]) in found:
            raise ValueError(f"{where}: expected entries module_list.NUMBER.weight and .bias, got {name[:200]!r}")
        found[int(parts[1]), parts[2]] = tensor
    layers = sorted({layer for layer, _ in found})
    if len(found) != 2 * len(layers):
        raise ValueError(f"{where}: expected a weight and a bias for each of the layers {layers}, got {len(found)}")
    return [found[layer, kind] for layer in layers for kind in ("weight", "bias")]


def zoo_recipe(config: Mapping[str, Any], tensors: "Sequence[Tensor]", where: str) -> dict[str, Any]:
    """The recipe of a network of this configuration and these weights.

    Raises ValueError for an activation or weights that no network of ModelZoos has.
    """
    nlin = config.get("model::nlin")
    if nlin not in ACTIVATIONS:
        raise ValueError(f"{where}: expected model::nlin to be one of {', '.join(ACTIVATIONS)}, got {nlin!r}")
    weights = [tensor.shape for tensor in tensors[::2]]
    channels = tuple(shape[0] for shape in weights if len(shape) == 4)
    widths = [shape[0] for shape in weights if len(shape) == 2]
    if [len(shape) for shape in weights] != [4] * len(channels) + [2] * len(widths) or not widths:
        raise ValueError(
            f"{where}: expected convolutions, then linear layers, got weights of {list(map(tuple, weights))}"
        )
    own = {"activation": ACTIVATIONS[nlin], "outputs": widths[-1], "hidden": widths[:-1]}
    if not channels:
        return recipe("mlp", inputs=weights[0][1], **own)
    if channels not in CNNS:
        raise ValueError(f"{where}: expected convolutions of {' or '.join(map(str, CNNS))} channels, got {channels}")
    kernel, pool, side = CNNS[channels]
    shape = [weights[0][1], side, side]
    own |= {"channels": list(channels), "kernel": kernel, "pool": pool, "padding": 0, "readout": "flatten"}
    return recipe("cnn", input_shape=shape, **own)
