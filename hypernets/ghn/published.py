"""Checkpoints of published graph hypernetworks: their names of tensors and ours."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hypernets.ghn.architecture import PUBLISHED
from hypernets.ghn.model import GHN

# (theirs, ours): starts of names. The layouts of ppuda and of ghn3 have no name in common with two meanings.
_NAMES = (
    ("embed.", "encoder.primitive."),
    ("shape_enc.embed_channel.", "encoder.channel."),
    ("shape_enc.embed_spatial.", "encoder.spatial."),
    ("gnn.gru.", "propagation.gru."),
    ("gnn.mlp.fc.", "propagation.edges."),
    ("gnn.mlp_ve.fc.", "propagation.paths."),
    ("gnn.fc.", "propagation.mlp."),
    ("gnn.0.centrality_embed_in.", "propagation.degree_in."),
    ("gnn.0.centrality_embed_out.", "propagation.degree_out."),
    ("gnn.0.input_dist_embed.", "propagation.from_input."),
    ("gnn.0.attn.edge_embed.embed.", "propagation.bias.distance."),
    ("gnn.0.attn.proj_e.", "propagation.bias.mlp."),
    ("ln.", "norm."),
    ("decoder.fc.0.", "decoder.spread."),
    ("decoder.conv.0.", "decoder.inner."),
    ("decoder.conv.2.", "decoder.last."),
    ("decoder.mlp.fc.0.", "decoder.first."),
    ("decoder.mlp.fc.2.", "decoder.last."),
    ("decoder.class_layer_predictor.1.", "decoder.classes."),
    ("decoder_1d.fc.0.", "vectors.first."),
    ("decoder_1d.fc.2.", "vectors.last."),
    ("bias_class.1.", "vectors.classes."),
)
# Within a layer of the Graphormer.
_BLOCK_NAMES = (
    ("ln1.", "norm1."),
    ("ln2.", "norm2."),
    ("attn.to_qkv.", "qkv."),
    ("attn.to_out.0.", "out."),
    ("ff.net.0.", "mlp.0."),
    ("ff.net.3.", "mlp.2."),
)
# Published files of ghn3 keep the tables of the first layer at the top.
_TOP = re.compile(r"^(centrality_embed_in|centrality_embed_out|input_dist_embed)\.")


def from_published(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> GHN:
    """The model of a state dict in the layout of ppuda (GHN-1, GHN-2 and its MLP) or of ghn3, in evaluation mode.

    Args:
        config: keywords of the published class: max_shape, num_classes, hid, weight_norm, layernorm, ve, and hypernet
            with decoder (ppuda), or layers, heads and is_ghn2 (ghn3). state: tensors by their published names.

    Raises ValueError where the tensors are not those of such a model.
    """
    try:
        model = _model(config)
    except TypeError as error:
        raise ValueError(f"the config describes no published model ({error}): {dict(config)}") from error
    decoder = config.get("decoder", "conv")
    found = {our_name(name, decoder): _matrix(tensor) for name, tensor in state.items()}
    _check_same(found, model.state_dict())
    model.load_state_dict(found)
    return model.eval()


def to_published(model: GHN) -> dict[str, Tensor]:
    """The tensors of a model by their published names, matrices where ppuda has 1x1 convolutions.

    Raises ValueError for a model that has parts without a published name.
    """
    return {published_name(name, model.config["decoder"]): tensor for name, tensor in model.state_dict().items()}


def load_published(path: str | Path, config: Mapping[str, Any] | None = None) -> GHN:
    """The model of a ``.pt`` file: ``{"config", "state_dict"}`` as ppuda writes, or a bare state dict.

    Nothing but tensors and plain values is unpickled.

    Args:
        config: see :func:`from_published`; needed where the file has none.

    Raises ValueError for a file that holds neither.
    """
    content = _read(Path(path))
    state = content.get("state_dict", content)
    config = config or content.get("config")
    if config is None:
        raise ValueError(f"{path} holds no 'config'; give the keywords of the published class as config=")
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise ValueError(f"expected a state dict in {path}, got others than tensors by name; it is of another kind")
    return from_published(config, state)


def our_name(name: str, decoder: str = "conv") -> str:
    """Our name of a published tensor; unknown names stay.

    >>> our_name("gnn.2.attn.to_qkv.weight")
    'propagation.blocks.2.qkv.weight'
    """
    name = _TOP.sub(r"gnn.0.\1.", name)
    for theirs, ours in _pairs(name, r"gnn\.(\d+)\.", decoder):
        if name.startswith(theirs):
            return ours + name[len(theirs) :]
    return name


def published_name(name: str, decoder: str = "conv") -> str:
    """The inverse of :func:`our_name`. Raises ValueError for a tensor that no published model has.

    >>> published_name("propagation.blocks.2.qkv.weight")
    'gnn.2.attn.to_qkv.weight'
    """
    for theirs, ours in _pairs(name, r"propagation\.blocks\.(\d+)\.", decoder):
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    raise ValueError(f"{name!r} is in no published model; only GHN-1, GHN-2, GHN-3 and the MLP baseline are")


def _pairs(name: str, layer: str, decoder: str) -> list[tuple[str, str]]:
    """Starts of names that may fit: those outside the layers, then those of the layer of this name."""
    other = "decoder.conv." if decoder == "mlp" else "decoder.mlp."
    pairs = [pair for pair in _NAMES if not pair[0].startswith(other)]
    found = re.match(layer, name)
    number = found[1] if found else ""
    return pairs + [(f"gnn.{number}.{a}", f"propagation.blocks.{number}.{b}") for a, b in _BLOCK_NAMES if found]


def _model(config: Mapping[str, Any]) -> GHN:
    missing = [key for key in ("max_shape", "num_classes", "hid") if key not in config]
    if missing:
        raise ValueError(f"expected {missing[0]!r} in the config of a published model, got {sorted(config)}")
    common = {
        "max_shape": tuple(config["max_shape"]),
        "num_classes": config["num_classes"],
        "hidden": config["hid"],
        "layer_norm": config.get("layernorm", False),
        "weight_norm": config.get("weight_norm", False),
        "primitives": len(PUBLISHED),
        "trained_steps": 1,  # How long is not told.
    }
    if config.get("layers") and not config.get("is_ghn2", False):
        size = {"layers": config["layers"], "heads": config["heads"]}
        return GHN("ghn3", propagation="graphormer", decoder="linear", **size, **common)
    virtual = config.get("ve", False)
    alone = config.get("hypernet", "gatedgnn") == "mlp"
    return GHN(
        "mlp" if alone else "ghn2" if virtual else "ghn1",
        propagation="none" if alone else "gated",
        decoder=config.get("decoder", "conv"),
        virtual_edges=virtual,
        **common,
    )


def _matrix(tensor: Tensor) -> Tensor:
    return tensor.flatten(1) if tensor.dim() == 4 else tensor


def _check_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    got, want = ({name: tuple(t.shape) for name, t in state.items()} for state in (found, expected))
    wrong = [name for name in sorted(got.keys() | want.keys()) if got.get(name) != want.get(name)]
    if wrong:
        raise ValueError(
            f"the tensors are not of the published model that the config describes: {wrong[0]!r} has shape "
            f"{got.get(wrong[0], 'missing')}, expected {want.get(wrong[0], 'none')} ({len(wrong)} differ)"
        )


def _read(path: Path) -> dict[str, Any]:
    from pickle import UnpicklingError

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, struct.error, LookupError) as error:
        raise ValueError(
            f"{path} is no torch file of tensors and plain values ({error}); damaged or joblib files cannot be read"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"expected a dict in {path}, got a {type(content).__name__}; it is of another kind")
    return content
