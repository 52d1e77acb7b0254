"""Inputs of a transformers model, by the names of its forward's parameters.

What a name stands for may come in several shapes (spectrograms by time or by frequency, images or videos); the
candidates are tried in turn. Images and sounds of multimodal models stand in the text at the special tokens meant for
them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from corpus import transformers_special as special
from corpus.case import Spec, whole
from corpus.tiny import IMAGE, ORDINARY, OWN_TOKENS
from torch import Tensor, nn

TOKENS, FRAMES, GRID = 7, 64, 4
Specs = dict[str, Spec]


def candidates(kind: str, model: nn.Module, config: Any) -> Iterator[Specs]:
    """Inputs to try, the likeliest first."""
    if kind in special.INPUTS:
        yield special.INPUTS[kind](config)
        return
    parameters = inspect.signature(model.forward).parameters
    wanted = _wanted(model, config, parameters)
    shapes = _shapes(config)
    unknown = [name for name in wanted if name not in shapes]
    if unknown:
        raise LookupError(f"no value is known for the inputs {unknown}")
    for i in range(max(len(shapes[name]) for name in wanted)):
        specs = {name: shapes[name][min(i, len(shapes[name]) - 1)] for name in wanted}
        yield _with_placeholders(model, config, specs) if "input_ids" in specs and len(specs) > 1 else specs


def _wanted(model: nn.Module, config: Any, parameters: Any) -> list[str]:
    """Required parameters, the main input, and one input a modality."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    wanted = [n for n, p in parameters.items() if p.default is p.empty and p.kind in named]
    main = getattr(model, "main_input_name", "input_ids")
    wanted += [main] if isinstance(main, str) and main in parameters else []
    sees = hasattr(config, "vision_config") or hasattr(config, "vision_encoder_config")
    hears = hasattr(config, "audio_config") or hasattr(config, "audio_encoder_config")
    for name, needed in {
        "input_ids": (sees or hears or "vocab_size" in vars(config)) and "decoder_input_ids" not in parameters,
        "decoder_input_ids": getattr(config, "is_encoder_decoder", False),
        "pixel_values": sees or "input_ids" not in parameters,
        "image_grid_thw": sees,
        "grid_thw": True,
        "image_sizes": sees,
        "mm_token_type_ids": sees,
        "input_features": hears,
        "input_features_mask": hears,
        "feature_attention_mask": hears,
        "bbox": True,
        "qformer_input_ids": True,
        "past_values": True,
    }.items():
        wanted += [name] if needed and name in parameters else []
    return list(dict.fromkeys(wanted))


def _shapes(config: Any) -> dict[str, list[Spec]]:
    """What each name may stand for."""
    channels = _size(config, "num_channels", "in_channels", "in_chans", default=3)
    channels = channels if channels in (1, 3, 4, 9) else 3
    side = _size(config, "image_size", "img_size", "input_size", default=IMAGE)
    mel = _size(
        config, "num_mel_bins", "n_mels", "mel_dim", "input_feat_per_channel", "input_dim", "feature_size", default=80
    )
    frames = _size(config, "num_frames", "frames_per_clip", default=4)
    time = 2 * _size(config, "max_source_positions", default=FRAMES // 2)
    hidden = _size(config, "hidden_size", "d_model", "n_embd", default=32)
    patch = _size(config, "patch_size", default=8)
    depth = channels * patch**2 * _size(config, "temporal_patch_size", default=1)
    images: list[Spec] = [(2, channels, side, side), (2, 1, channels, side, side), (2, channels, 2 * IMAGE, 2 * IMAGE)]
    videos: list[Spec] = [(2, frames, channels, side, side), (2, channels, frames, side, side)]
    patches: list[Spec] = [
        (GRID**2, depth),
        (2, GRID**2, depth),
        (1, GRID**2, channels, patch, patch),
        (GRID**2, channels, patch, patch),
    ]
    grid = torch.tensor([[1, GRID, GRID]])
    by_grid = hasattr(config, "temporal_patch_size") or hasattr(
        getattr(config, "vision_config", None), "temporal_patch_size"
    )
    sounds: list[Spec] = [(2, mel, time), (2, time, mel), (2, FRAMES, mel), (2, mel, FRAMES), (2, 1, FRAMES, mel)]
    return {
        "input_ids": [words(2, TOKENS)],
        "decoder_input_ids": [words(2, 5)],
        "qformer_input_ids": [words(2, 5)],
        "attention_mask": [torch.ones(2, TOKENS, dtype=torch.long)],
        "bbox": [torch.tensor([[[4, 4, 20, 20]] * TOKENS] * 2)],
        "pixel_values": patches + images if by_grid else images + videos + patches,
        "pixel_values_videos": videos,
        "grid_thw": [grid],
        "image_grid_thw": [grid],
        "image_sizes": [torch.tensor([[side, side]] * 2)],
        "mm_token_type_ids": [torch.zeros(1, TOKENS, dtype=torch.long)],
        "input_values": [(2, 1600), (2, 1, 1600), (2, FRAMES, mel), (2, 1, FRAMES, mel), (2, 8000)],
        "input_features": sounds,
        "input_features_mask": [torch.ones(2, time, dtype=torch.long), torch.ones(2, FRAMES, dtype=torch.long)],
        "feature_attention_mask": [torch.ones(2, time, dtype=torch.long)],
        "inputs_embeds": [(2, TOKENS, hidden)],
        "hidden_states": [
            (GRID**2, depth),
            (2, TOKENS, hidden),
            (2, 16, hidden),
            (2, hidden, GRID, GRID),
            (TOKENS, hidden),
        ]
        if by_grid
        else [(2, TOKENS, hidden), (2, 16, hidden), (2, hidden, GRID, GRID), (TOKENS, hidden)],
        "encoder_hidden_states": [(2, TOKENS, hidden)],
        "past_values": [
            (2, _size(config, "context_length", default=32), _size(config, "num_input_channels", default=1)),
            (2, 32),
        ],
        "spectrogram": [(2, 20, _size(config, "model_in_dim", "num_mel_bins", default=80))],
    }


def words(*shape: int) -> Spec:
    """Ordinary tokens: below the special ones at the end of the vocabulary, above those at its beginning."""
    return whole(ORDINARY, *shape, low=OWN_TOKENS)


def _size(config: Any, *names: str, default: int) -> int:
    """The first of the fields that the configuration, or one inside it, has."""
    inside = (
        "vision_config",
        "audio_config",
        "encoder_config",
        "backbone_config",
        "encoder",
        "text_config",
        "text_encoder",
    )
    for name in names:
        for part in (config, *(getattr(config, n, None) for n in inside)):
            value = vars(part).get(name) if part is not None and not isinstance(part, dict) else None
            if isinstance(value, (list, tuple)) and value:
                value = value[-1]
            if isinstance(value, int):
                return value
    return default


# ---- images and sounds in the text


def _with_placeholders(model: nn.Module, config: Any, specs: Specs) -> Specs:
    """One text with a special token for each vector that the images and sounds become."""
    runs = []
    for getter, names, tokens in MODALITIES:
        given = {n: specs[n] for n in names if n in specs}
        token = next((vars(config)[t] for t in tokens if isinstance(vars(config).get(t), int)), None)
        if given and token is not None and hasattr(model, getter):
            runs += [token] * _vectors(getattr(model, getter), given)
    if not runs:
        return specs
    places = torch.tensor([0, 0, *runs, 0, 0, 0])
    specs = {**specs, "input_ids": lambda generator: _text(places, generator)}
    if "mm_token_type_ids" in specs:
        specs["mm_token_type_ids"] = (places > 0).long()[None]
    if "attention_mask" in specs:
        specs["attention_mask"] = torch.ones(1, len(places), dtype=torch.long)
    return {name: _single(spec) if name != "input_ids" else spec for name, spec in specs.items()}


MODALITIES = [
    (
        "get_image_features",
        ("pixel_values", "image_grid_thw", "image_sizes"),
        ("image_token_id", "image_token_index", "image_token", "im_patch_id"),
    ),
    (
        "get_audio_features",
        ("input_features", "input_features_mask", "feature_attention_mask", "input_values"),
        ("audio_token_id", "audio_token_index"),
    ),
]


def _vectors(features: Any, specs: Specs) -> int:
    """How many vectors of the text's width the model makes of them."""
    from corpus.case import draw

    values = {n: draw(_single(s), torch.Generator().manual_seed(0)) for n, s in specs.items()}
    accepted = inspect.signature(features).parameters
    with torch.no_grad():
        out = features(**{n: v for n, v in values.items() if n in accepted or "kwargs" in accepted})
    out = getattr(out, "pooler_output", out) if getattr(out, "pooler_output", None) is not None else out
    out = out if isinstance(out, Tensor) else out[0] if not isinstance(out, (list, tuple)) else out
    tensors = [out] if isinstance(out, Tensor) else [t for t in out if isinstance(t, Tensor)]
    return sum(t.numel() // t.shape[-1] for t in tensors)


def _single(spec: Spec) -> Spec:
    """The same input for a batch of one."""
    if isinstance(spec, tuple) and len(spec) > 2 and spec[0] == 2:
        return (1, *spec[1:])
    return spec[:1] if isinstance(spec, Tensor) and len(spec) == 2 else spec


def _text(places: Tensor, generator: torch.Generator) -> Tensor:
    ordinary = torch.randint(OWN_TOKENS, ORDINARY, places.shape, generator=generator)
    return torch.where(places > 0, places, ordinary)[None]
