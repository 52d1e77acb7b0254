"""What the general way gets wrong for single types of transformers: configuration, class and inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from corpus.tiny import HEAD, HEADS, VOCABULARY, WIDTH

# Left out of the configuration, and computed from other sizes or required by the model.
HEAD_DIM = {"head_dim": HEAD}
WITH_VOCABULARY = {"vocab_size": VOCABULARY}
MAMBA = {"mamba_n_heads": 2 * WIDTH // HEAD, "mamba_d_head": HEAD, "mamba_d_state": HEAD}
MULTIMODAL_ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [HEAD // 2 - 4, 2, 2]}
HALF_ROPE = {**MULTIMODAL_ROPE, "partial_rotary_factor": 0.5, "mrope_section": [HEAD // 4 - 2, 1, 1]}

CONFIGS: dict[str, dict[str, Any]] = {
    "bamba": MAMBA,
    "colqwen2": {"vlm_config": {"text_config": {"rope_parameters": MULTIMODAL_ROPE}}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "esm": {**WITH_VOCABULARY, "mask_token_id": 4, "pad_token_id": 1},
    "falcon_h1": {**MAMBA, "mamba_d_ssm": 2 * WIDTH},
    "glm4v_moe_text": {"rope_parameters": HALF_ROPE},
    "glm4v_text": {"rope_parameters": MULTIMODAL_ROPE},
    "glm_image_text": {"rope_parameters": MULTIMODAL_ROPE},
    "glm_ocr_text": {"rope_parameters": MULTIMODAL_ROPE},
    "granitemoehybrid": MAMBA,
    "hunyuan_v1_dense": HEAD_DIM,
    "hunyuan_v1_moe": HEAD_DIM,
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 2 * WIDTH // HEAD, "head_dim": HEAD, "n_groups": 2},
    "ministral": HEAD_DIM,
    "nemotron": {"num_key_value_heads": HEADS // 2},
    "openai_privacy_filter": {"num_experts_per_tok": 4},  # every expert is on the path that is traced
    "paddleocr_vl_text": {"rope_parameters": MULTIMODAL_ROPE},
    "qwen2_5_omni_text": {"rope_parameters": MULTIMODAL_ROPE},
    "qwen2_5_vl": {"vision_config": {"window_size": 32}},
    "qwen2_5_vl_text": {"rope_parameters": MULTIMODAL_ROPE},
    "qwen2_vl_text": {"rope_parameters": MULTIMODAL_ROPE},
    "reformer": {"is_decoder": True, "axial_pos_embds": False},
    "switch_transformers": {"num_experts": 2},  # every expert is on the path that is traced
    "wav2vec2-bert": WITH_VOCABULARY,
    "wav2vec2-conformer": WITH_VOCABULARY,
    "xmod": {"default_language": "en_XX"},
}
CLASSES: dict[str, str] = {}
INPUTS: dict[str, Callable[[Any], dict[str, Any]]] = {}
