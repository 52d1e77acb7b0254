"""Tiny configurations of transformers: what a number means is read from the name of its field.

Widths, heads, layers, vocabularies and images become small, sub-configurations too; kernel sizes, strides, ratios and
everything unknown stay. Special token ids keep their identity inside the small vocabulary.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

WIDTH, HEADS, HEAD, LAYERS, INNER, VOCABULARY, IMAGE, PATCH, POSITIONS = 64, 4, 16, 2, 256, 48, 32, 4, 24
OWN_TOKENS = 10  # ids below are left as they are (padding, begin, end)
ORDINARY = VOCABULARY - 20  # ids from here on are left to special tokens

Rule = Callable[[int, Any], int]


def tiny(config: Any, tokens: dict[int, int] | None = None, **overrides: Any) -> Any:
    """The configuration of the same class with small sizes.

    Args:
        config: what ``config_class()`` gives.
        tokens: the new ids of special tokens, shared between the sub-configurations.
        overrides: values by field; for a sub-configuration a dict of its own overrides.
    """
    from transformers import PreTrainedConfig

    tokens = {} if tokens is None else tokens
    values = {}
    for name, value in _fields(config).items():
        if isinstance(value, PreTrainedConfig) and isinstance(overrides.get(name, {}), dict):
            values[name] = tiny(value, tokens, **overrides.get(name, {}))
        elif name not in overrides:
            values[name] = _small(name, value, config, tokens)
    return type(config)(**values, **{k: v for k, v in overrides.items() if k not in values})


def _fields(config: Any) -> dict[str, Any]:
    """What the configuration can be made from again."""
    left_out = {"dtype", "transformers_version", "architectures", "id2label", "label2id", "problem_type"}
    named = [f.name for f in dataclasses.fields(config) if f.init and not f.name.startswith("_")]
    # The indices of a backbone's stages are kept under a private name.
    found = {name: vars(config).get(name, vars(config).get("_" + name)) for name in named if name not in left_out}
    return {name: value for name, value in found.items() if value is not None}


def _small(name: str, value: Any, config: Any, tokens: dict[int, int]) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _number(name, value, config, tokens)
    if isinstance(value, dict):
        return {k: _small(k, v, config, tokens) if isinstance(k, str) else v for k, v in value.items()}
    if isinstance(value, (list, tuple)) and value:
        return type(value)(_sequence(name, list(value), config))
    return value


def _number(name: str, value: int, config: Any, tokens: dict[int, int]) -> int:
    if TOKEN.search(name):
        return value if value < OWN_TOKENS else tokens.setdefault(value, VOCABULARY - 1 - len(tokens))
    return next((rule(value, config) for pattern, rule in RULES if pattern.search(name)), value)


def _sequence(name: str, values: list, config: Any) -> list:
    """Lists with a number a stage keep their length, lists with an element a layer get that of the small network."""
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in values)
    if name == "mrope_section":
        return [HEAD // 2 - 2 * (HEAD // 8), *[HEAD // 8] * (len(values) - 1)]
    if name == "out_indices" and whole and _layers(config) and not getattr(config, "depths", None):
        return list(range(1, len(values) + 1))
    if whole and len(values) > 1 and STAGE_WIDTHS.search(name) and min(values) >= OWN_TOKENS:
        return [16 * v // min(values) // 8 * 8 for v in values]
    for pattern, rule in STAGES:
        if whole and pattern.search(name):
            return [rule(v, values) for v in values]
    if len(values) == _layers(config):
        distinct = [v for i, v in enumerate(values) if v not in values[:i]]
        return [*distinct, *values][: _few_layers(_layers(config), config)]
    return values


def _layers(config: Any) -> int:
    """Layers of the large configuration; 0 where no single number says it."""
    names = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers", "depth")
    return next((vars(config)[n] for n in names if isinstance(vars(config).get(n), int)), 0)


def _few_layers(value: int, config: Any) -> int:
    """Two layers, or as many as a backbone has outputs."""
    outputs = vars(config).get("_out_indices") or ()
    return min(value, max(LAYERS, len(outputs) if not getattr(config, "depths", None) else 0))


def _key_value_heads(value: int, config: Any) -> int:
    """As many as heads, one, or between: the kind of attention stays."""
    heads = {vars(config).get(n) for n in ("num_attention_heads", "num_heads", "n_head", "n_heads", "attention_heads")}
    heads |= {vars(config).get(n) for n in ("encoder_attention_heads", "encoder_num_attention_heads")}
    return HEADS if value in heads else min(value, HEADS // 2)


def exactly(size: int) -> Rule:
    return lambda value, config: size if value else value


def at_most(size: int) -> Rule:
    return lambda value, config: min(value, size)


def as_it_is(value: int, config: Any) -> int:
    return value


TOKEN = re.compile(r"token_id$|token_index$|_id$|_ids$")
STAGE_WIDTHS = re.compile(r"hidden_sizes|embed_dims|channels|dims$|conv_dim|widths|_sizes$|per_stage")
STAGES = [
    (re.compile(r"depths|^layers$|blocks"), lambda v, values: min(v, 2)),
    (re.compile(r"heads"), lambda v, values: 2 ** max(0, (v // max(1, values[0])).bit_length() - 1)),
    (re.compile(r"image_size|img_size"), lambda v, values: min(v, IMAGE)),
    (re.compile(r"patch_size$"), lambda v, values: min(v, PATCH)),
]
# The first pattern that occurs in the name decides.
RULES: list[tuple[re.Pattern, Rule]] = [
    (re.compile(pattern), rule)
    for pattern, rule in [
        (
            r"hc_mult|inner_group|conv|kernel|stride|dilation|padding|downsampl|upsampl|scale_factor|ratio|expan|spatial_merge|"
            r"temporal|merge_size|squeeze|_rates?$|n_points|^num_channels|^in_channels|^in_chans|num_labels|bucket|"
            r"_cost|coef|reduction|loss|divisor|ignore|chunk_size_feed|codebook_dim",
            as_it_is,
        ),
        (r"(key_value|kv|query_groups|query_group).*heads?|kv_heads|num_query_groups", _key_value_heads),
        (r"rotary_dim", exactly(HEAD)),
        (r"qk_head_dim", exactly(2 * HEAD)),
        (r"head_dim$|d_kv$|dim_head|_head_size$|kv_channels|^d_head$", exactly(HEAD)),
        (r"heads$|^n_head$|_heads_|num_head", exactly(HEADS)),
        (r"_rank$", exactly(16)),
        (r"experts_per_tok|top_?k$|shared_experts$", at_most(2)),
        (r"topk_group|n_group$", at_most(1)),
        (r"experts?$", at_most(4)),
        (r"layers?$|^depth$|_depth$|^(num_)?blocks$|num_encoder_blocks", _few_layers),
        (r"intermediate|ffn|mlp_dim|d_ff$|feedforward|inner|dff$|linear_units|feed_forward|moe_hidden", exactly(INNER)),
        (r"vocab", at_most(VOCABULARY)),
        (r"image_size|img_size|resolution|input_size", at_most(IMAGE)),
        (r"patch_size", at_most(PATCH)),
        (r"position|n_ctx|seq_len|seq_length|max_length|context_length", at_most(POSITIONS)),
        (r"window|sliding", at_most(4)),
        (r"queries|num_latents|query_num|num_query_tokens|num_group_tokens|num_detection", at_most(8)),
        (r"codebook_size|num_embeddings|num_codevectors", at_most(64)),
        (
            r"hidden|d_model|n_embd|embd?_|embed|_dim$|^dim$|_size$|channels|filters|width|features|_units|state$",
            at_most(WIDTH),
        ),
    ]
]
