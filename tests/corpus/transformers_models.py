"""Every model type of transformers, in a tiny configuration with its usual head.

The network returns its answer: the logits (with the boxes of a detector) where it has them. Hidden states that come
along with them for convenience would fix every neuron that they show. What has no head, a part of other networks, is
read by a linear layer, as it is in those.
"""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from corpus import transformers_special as special
from corpus.case import Case, inputs
from corpus.tiny import tiny
from corpus.torchvision_shim import importable_torchvision
from corpus.transformers_inputs import candidates
from torch import Tensor, nn

# A type with several heads gets the first of these that it has.
TASKS = (
    "IMAGE_TEXT_TO_TEXT SPEECH_SEQ_2_SEQ SEQ_TO_SEQ_CAUSAL_LM CAUSAL_LM MASKED_LM IMAGE_CLASSIFICATION "
    "VIDEO_CLASSIFICATION CTC AUDIO_CLASSIFICATION SEQUENCE_CLASSIFICATION TOKEN_CLASSIFICATION QUESTION_ANSWERING "
    "MULTIMODAL_LM SEMANTIC_SEGMENTATION UNIVERSAL_SEGMENTATION OBJECT_DETECTION ZERO_SHOT_OBJECT_DETECTION "
    "DEPTH_ESTIMATION IMAGE_TO_IMAGE RETRIEVAL TEXT_RECOGNITION TABLE_RECOGNITION KEYPOINT_DETECTION "
    "KEYPOINT_MATCHING TIME_SERIES_PREDICTION TIME_SERIES_CLASSIFICATION TEXT_TO_WAVEFORM TEXT_TO_SPECTROGRAM "
    "VISUAL_QUESTION_ANSWERING DOCUMENT_QUESTION_ANSWERING POSE_ESTIMATION IMAGE_MATTING DECISION MASK_GENERATION "
    "RNNT TDT PRETRAINING"
).split()
ANSWERS = ("logits", "logits_per_image", "prediction_logits")
ASIDE = ("past_key_values", "hidden_states", "attentions", "encoder_last_hidden_state", "cache_params")
HEADLESS = ("last_hidden_state", "pooler_output")
LARGEST = 20_000_000


class Answer(nn.Module):
    """A model called by keyword, of which the answer is returned: its own, or what layers of two neurons read.

    Args:
        readers: names of outputs without a head, and their numbers of channels.
    """

    def __init__(self, model: nn.Module, keys: tuple[str, ...], readers: Mapping[str, int]) -> None:
        super().__init__()
        self.model, self.keys = model, keys
        self.readers = nn.ModuleDict({name: nn.Linear(channels, 2) for name, channels in readers.items()})

    def forward(self, *values: Tensor) -> Any:
        out = self.run(*values)
        if self.readers:
            return tuple(reader(_channels_last(out[name])) for name, reader in self.readers.items())
        if not hasattr(out, "items"):
            return out
        answer = next((out[key] for key in ANSWERS if isinstance(out.get(key), Tensor)), None)
        if answer is None:
            return tuple(value for key, value in out.items() if key not in ASIDE)
        return (answer, out["pred_boxes"]) if isinstance(out.get("pred_boxes"), Tensor) else answer

    def run(self, *values: Tensor) -> Any:
        return self.model(**dict(zip(self.keys, values, strict=True)))


def _channels_last(h: Tensor) -> Tensor:
    """Of feature maps the second dimension, of sequences the last holds the channels."""
    return h.movedim(1, -1) if h.dim() == 4 else h


def readers(model: nn.Module, keys: tuple[str, ...], values: tuple) -> dict[str, int]:
    """The outputs of a model without a head that layers are to read, with their channels."""
    with torch.no_grad():
        out = Answer(model, keys, {}).run(*values)
    if not hasattr(out, "items") or any(isinstance(out.get(key), Tensor) for key in ANSWERS):
        return {}
    found = {name: out.get(name) for name in HEADLESS}
    return {name: _channels_last(h).shape[-1] for name, h in found.items() if isinstance(h, Tensor) and h.dim() > 1}


def warm() -> None:
    """Import what all models need."""
    importable_torchvision()
    import transformers
    from transformers import generation, image_processing_utils, masking_utils, modeling_utils  # noqa: F401
    from transformers.models.auto import modeling_auto  # noqa: F401

    transformers.utils.logging.set_verbosity_error()


def names() -> list[str]:
    """The model types that the installed version knows."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return sorted(CONFIG_MAPPING.keys())


def build(kind: str) -> Case:
    """The tiny network of one type with the first inputs that it takes."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = tiny(CONFIG_MAPPING[kind](), **special.CONFIGS.get(kind, {}))
    config.use_cache = False
    config._attn_implementation = "eager"
    kept = copy.deepcopy(config)  # some models change the configuration that they get
    model_type = model_class(kind, config)
    model = model_type(config).eval()
    size = sum(p.numel() for p in model.parameters())
    if size > LARGEST:
        raise ValueError(f"{size:,} parameters in the small configuration, expected at most {LARGEST:,}")

    def make(keys: tuple[str, ...], read: Mapping[str, int]) -> nn.Module:
        torch.manual_seed(0)
        return Answer(model_type(copy.deepcopy(kept)), keys, read)

    failure = None
    for specs in candidates(kind, model, config):
        keys, draw = tuple(specs), inputs(*specs.values())
        try:
            read = readers(model, keys, draw(torch.Generator().manual_seed(0)))
            case = Case(partial(make, keys, read), draw)
            case.run()
            return case
        except Exception as error:  # noqa: BLE001
            failure = failure or error
    raise failure or LookupError("no inputs are known for it")


def model_class(kind: str, config: Any) -> type:
    """The class with the usual head, by transformers' own tables, or any class with this configuration."""
    import transformers
    from transformers.models.auto import modeling_auto as auto

    tables = [getattr(auto, f"MODEL_FOR_{task}_MAPPING_NAMES") for task in TASKS]
    for table in [special.CLASSES, *tables, auto.MODEL_MAPPING_NAMES]:
        if kind in table:
            name = table[kind] if isinstance(table[kind], str) else table[kind][0]
            return getattr(transformers, name, None) or getattr(_modeling(config), name)
    return _found(config)


def _found(config: Any) -> type:
    from transformers import PreTrainedModel

    module = _modeling(config)
    classes = [c for c in vars(module).values() if inspect.isclass(c) and issubclass(c, PreTrainedModel)]
    own = [c for c in classes if c.__module__ == module.__name__ and c.config_class is type(config)]
    own = [c for c in own if not c.__name__.endswith("PreTrainedModel")]
    if not own:
        raise LookupError(f"no model class has the configuration {type(config).__name__}; a part of other models")
    return min(own, key=lambda c: ("For" not in c.__name__, not c.__name__.endswith("Model"), len(c.__name__)))


def _modeling(config: Any) -> Any:
    return importlib.import_module(type(config).__module__.replace("configuration_", "modeling_"))
