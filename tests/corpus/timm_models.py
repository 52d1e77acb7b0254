"""One small model of every timm family: of the smallest name it registers, narrow and shallow where its code allows."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import torch
from corpus.case import Case, inputs
from corpus.torchvision_shim import importable_torchvision
from torch import nn

FOUR, PAIRS, STEPS = (1, 1, 1, 1), (2, 2, 2, 2), (16, 24, 32, 48)
VIT = {"embed_dim": 32, "depth": 2, "num_heads": 4, "img_size": 64}
DOUBLING = {"embed_dim": 16, "depths": PAIRS, "num_heads": (2, 4, 4, 8)}
# Family: (registered name or class, side of the image, arguments).
MODELS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "beit": ("beit_base_patch16_224", 64, VIT),
    "byoanet": ("halonet_h1", 256, {}),
    "byobnet": ("test_byobnet", 64, {}),
    "cait": ("cait_xxs24_224", 64, VIT),
    "coat": (
        "CoaT",
        64,
        {
            "img_size": 64,
            "patch_size": 4,
            "embed_dims": (32, 32, 32, 32),
            "serial_depths": FOUR,
            "parallel_depth": 1,
            "num_heads": 4,
            "crpe_window": {3: 1, 5: 1, 7: 2},
        },
    ),
    "convit": ("convit_tiny", 64, {**VIT, "depth": 3, "local_up_to_layer": 2}),
    "convmixer": ("ConvMixer", 64, {"dim": 32, "depth": 2}),
    "convnext": ("test_convnext", 64, {}),
    "cpubone": ("cpubone_nano", 64, {}),
    "crossvit": (
        "crossvit_tiny_240",
        240,
        {"embed_dim": (16, 32), "depth": ((1, 1, 0),), "num_heads": (2, 4)},
    ),
    "csatv2": ("CSATv2", 256, {"dims": STEPS, "depths": PAIRS, "transformer_depths": (0, 0, 1, 1)}),
    "cspnet": ("cs3darknet_focus_s", 64, {}),
    "cspnext": ("CspNext", 64, {"depths": FOUR, "channels": (16, 32, 64, 64)}),
    "davit": ("DaVit", 64, {"depths": FOUR, "embed_dims": (16, 32, 32, 64), "num_heads": (2, 4, 4, 8)}),
    "deepseek_vit": ("DeepseekVitClassifier", 84, {**VIT, "img_size": 84}),
    "deit": ("deit_tiny_patch16_224", 64, VIT),
    "densenet": ("densenet121", 64, {"growth_rate": 8, "block_config": PAIRS}),
    "dla": ("dla46x_c", 64, {}),
    "dpn": (
        "DPN",
        64,
        {"k_sec": FOUR, "inc_sec": (4, 8, 8, 8), "k_r": 16, "groups": 4, "small": True, "num_init_features": 8},
    ),
    "edgenext": ("edgenext_xx_small", 64, {"dims": STEPS, "depths": PAIRS}),
    "efficientformer": ("efficientformer_l1", 224, {"depths": (1, 1, 1, 2), "embed_dims": STEPS, "num_vit": 1}),
    "efficientformer_v2": (
        "EfficientFormerV2",
        64,
        {"img_size": 64, "depths": PAIRS, "embed_dims": STEPS, "num_vit": 1, "mlp_ratios": 2},
    ),
    "efficientnet": ("test_efficientnet", 64, {}),
    "efficientvim": ("EfficientViM", 64, {"embed_dim": (16, 24, 32), "depths": (1, 1, 1)}),
    "efficientvit_mit": (
        "EfficientVit",
        64,
        {"widths": (8, 16, 32, 32, 64), "depths": (1, 1, 1, 1, 1), "head_dim": 16, "head_widths": (32, 48)},
    ),
    "efficientvit_msra": ("efficientvit_m0", 224, {}),
    "eva": ("vit_tiny_patch16_dinov3_qkvb", 64, VIT),
    "fasternet": ("FasterNet", 64, {"embed_dim": 16, "depths": FOUR, "feature_dim": 48}),
    "fastvit": ("FastVit", 64, {"layers": FOUR, "embed_dims": (16, 32, 32, 64), "mlp_ratios": PAIRS}),
    "focalnet": ("FocalNet", 64, {"embed_dim": 16, "depths": FOUR}),
    "gcvit": ("GlobalContextVit", 64, {**DOUBLING, "img_size": 64, "window_size": (4, 4, 2, 2), "window_ratio": None}),
    "gemma4_vit": (
        "Gemma4VitClassifier",
        96,
        {**VIT, "img_size": 96, "head_dim": 8, "intermediate_size": 48, "position_embedding_size": 64},
    ),
    "ghostnet": ("ghostnet_050", 64, {}),
    "hardcorenas": ("hardcorenas_b", 64, {}),
    "hgnet": ("hgnetv2_b0", 64, {}),
    "hiera": (
        "Hiera",
        64,
        {"img_size": (64, 64), "embed_dim": 16, "num_heads": 2, "stages": FOUR, "mask_unit_size": (4, 4), "q_pool": 2},
    ),
    "hieradet_sam2": (
        "HieraDet",
        64,
        {"embed_dim": 16, "num_heads": 2, "stages": PAIRS, "global_att_blocks": (5, 7), "window_spec": (4, 2, 4, 2)},
    ),
    "hrnet": ("hrnet_w18_small", 64, {}),
    "iformer": ("IFormer", 64, {"dims": (16, 32, 48, 64), "depths": (1, 1, 4, 4), "attn_groups": (0, 0, 1, 1)}),
    "inception_next": ("MetaNeXt", 64, {"depths": FOUR, "dims": (16, 32, 32, 64)}),
    "inception_resnet_v2": ("inception_resnet_v2", 80, {}),
    "inception_v3": ("inception_v3", 80, {}),
    "inception_v4": ("inception_v4", 80, {}),
    "lcnetv2": ("LCNetV2", 64, {"scale": 0.25, "depths": FOUR, "head_hidden_size": 48}),
    "levit": ("Levit", 64, {"img_size": 64, "embed_dim": (32, 48), "key_dim": 8, "depth": (1, 1), "num_heads": (2, 3)}),
    "lowformer": ("lowformer_b0", 64, {}),
    "mambaout": ("test_mambaout", 64, {}),
    "maxxvit": ("test_coatnet", 64, {"img_size": 64}),
    "metaformer": ("MetaFormer", 64, {"depths": FOUR, "dims": (16, 32, 32, 64)}),
    "mlp_mixer": ("MlpMixer", 64, {"img_size": 64, "num_blocks": 2, "embed_dim": 32}),
    "mobilenetv3": ("mobilenetv3_small_050", 64, {}),
    "mobilenetv5": ("mobilenetv5_base", 64, {"channel_multiplier": 0.125}),
    "mobilevit": ("mobilevit_xxs", 64, {}),
    "mvitv2": ("MultiScaleVit", 64, {"cfg": {"depths": FOUR, "embed_dim": 16, "num_heads": 2}, "img_size": (64, 64)}),
    "naflexvit": ("naflexvit_base_patch16_parfac_gap", 64, {"embed_dim": 32, "depth": 2, "num_heads": 4}),
    "nasnet": ("NASNetALarge", 96, {"stem_size": 8, "num_features": 192, "channel_multiplier": 2}),
    "nest": ("Nest", 64, {"img_size": 64, "embed_dims": (16, 32, 48), "num_heads": (2, 4, 4), "depths": (1, 1, 1)}),
    "nextvit": ("NextViT", 64, {"in_chans": 3, "stem_chs": (8, 8, 16), "depths": (3, 4, 5, 3), "head_dim": 16}),
    "nfnet": ("test_nfnet", 64, {}),
    "pit": (
        "PoolingVisionTransformer",
        64,
        {"img_size": 64, "base_dims": (8, 8, 8), "depth": (1, 1, 1), "heads": (2, 4, 4), "stride": 8},
    ),
    "pnasnet": ("pnasnet5large", 96, {}),
    "pvt_v2": ("PyramidVisionTransformerV2", 64, {"depths": FOUR, "embed_dims": (16, 32, 32, 64)}),
    "qwen3_vit": ("Qwen3VitClassifier", 64, {**VIT, "mlp_ratio": 2.0, "pos_embed_grid_size": 6}),
    "rdnet": (
        "RDNet",
        64,
        {
            "growth_rates": (8, 8, 8, 16, 16),
            "num_blocks_list": (1, 1, 1, 1, 1),
            "block_type": ("Block",) * 3 + ("BlockESE",) * 2,
            "is_downsample_block": (None, True, True, False, True),
            "num_init_features": 16,
            "bottleneck_width_ratio": 2.0,
        },
    ),
    "regnet": ("regnetx_002", 64, {}),
    "repghost": ("repghostnet_050", 64, {}),
    "repvit": ("RepVit", 64, {"embed_dim": (16, 24, 32, 48), "depth": PAIRS, "img_size": 64}),
    "res2net": ("res2next50", 64, {"layers": FOUR}),
    "resnest": ("resnest14d", 64, {}),
    "resnet": ("test_resnet", 64, {}),
    "resnetv2": ("ResNetV2", 64, {"layers": FOUR, "channels": (128, 128, 128, 256), "stem_chs": 32}),
    "rexnet": ("RexNet", 64, {"width_mult": 0.5, "depth_mult": 0.5}),
    "selecsls": ("selecsls42", 64, {}),
    "senet": ("legacy_seresnet18", 64, {}),
    "sequencer": (
        "Sequencer2d",
        56,
        {
            "layers": FOUR,
            "embed_dims": (16, 32, 32, 32),
            "hidden_sizes": (8, 8, 8, 8),
            "img_size": 56,
            "patch_sizes": (7, 2, 2, 1),
        },
    ),
    "shvit": (
        "SHViT",
        64,
        {"embed_dim": (16, 32, 48), "partial_dim": (8, 8, 16), "depth": (1, 1, 1), "types": ("i", "s", "s")},
    ),
    "sknet": ("skresnet18", 64, {"layers": FOUR}),
    "starnet": ("StarNet", 64, {"base_dim": 8, "depths": [1, 1, 1, 1]}),
    "swiftformer": ("SwiftFormer", 64, {"layers": [1, 1, 1, 1], "embed_dims": list(STEPS)}),
    "swin_transformer": ("SwinTransformer", 64, {**DOUBLING, "img_size": 64, "window_size": 4}),
    "swin_transformer_v2": ("SwinTransformerV2", 64, {**DOUBLING, "img_size": 64, "window_size": 4}),
    "swin_transformer_v2_cr": ("SwinTransformerV2Cr", 64, {**DOUBLING, "img_size": (64, 64), "window_size": 2}),
    "tiny_vit": (
        "TinyVit",
        64,
        {"embed_dims": (16, 32, 32, 64), "depths": PAIRS, "num_heads": (2, 4, 4, 8), "window_sizes": (4, 4, 4, 2)},
    ),
    "tnt": (
        "TNT",
        64,
        {"img_size": 64, "embed_dim": 32, "inner_dim": 8, "depth": 2, "num_heads_inner": 2, "num_heads_outer": 4},
    ),
    "tresnet": ("TResNet", 64, {"layers": [1, 1, 1, 1], "width_factor": 0.25}),
    "twins": ("Twins", 64, {"img_size": 64, "embed_dims": (16, 32, 32, 64), "depths": PAIRS, "wss": (4, 4, 2, 2)}),
    "vgg": ("VGG", 64, {"cfg": [8, "M", 16, "M", 16, "M", 24, "M", 32, "M"], "mlp_ratio": 0.01}),
    "visformer": (
        "Visformer",
        64,
        {
            "img_size": 64,
            "init_channels": 16,
            "embed_dim": 64,
            "depth": (2, 1, 1),
            "num_heads": 4,
            "attn_stage": "011",
            "spatial_conv": "100",
            "patch_size": 16,
        },
    ),
    "vision_transformer": ("test_vit", 64, {"img_size": 64}),
    "vision_transformer_hybrid": ("vit_tiny_r_s16_p8_224", 128, {**VIT, "img_size": 128}),
    "vision_transformer_relpos": ("test_vit_relpos", 64, {"img_size": 64}),
    "vision_transformer_sam": (
        "VisionTransformerSAM",
        64,
        {
            **VIT,
            "use_rel_pos": True,
            "window_size": 2,
            "global_attn_indexes": (1,),
            "neck_chans": 24,
            "num_classes": 10,
        },
    ),
    "vitamin": ("vitamin_small_224", 64, {"img_size": 64}),
    "volo": (
        "VOLO",
        64,
        {
            "layers": (1, 1, 1, 1),
            "img_size": 64,
            "embed_dims": (16, 32, 32, 32),
            "num_heads": (2, 4, 4, 4),
            "stem_hidden_dim": 16,
        },
    ),
    "vovnet": ("ese_vovnet19b_slim_dw", 64, {}),
    "xception": ("legacy_xception", 96, {}),
    "xception_aligned": (
        "XceptionAligned",
        64,
        {
            "block_cfg": [
                {"in_chs": 64, "out_chs": 48, "stride": 2},
                {"in_chs": 48, "out_chs": 48, "stride": 1},
                {"in_chs": 48, "out_chs": (32, 48, 64), "stride": 2, "no_skip": True},
            ]
        },
    ),
    "xcit": ("Xcit", 64, {**VIT, "patch_size": 16, "eta": 1.0}),
}


def warm() -> None:
    """Import timm with all its models."""
    importable_torchvision()
    import timm.models  # noqa: F401


def names() -> list[str]:
    """The families: modules of timm.models that register a model."""
    from timm.models import list_modules

    return sorted(list_modules())


def build(family: str) -> Case:
    """The model of one family with images of its size."""
    name, side, arguments = MODELS[family]
    return Case(partial(_make, family, name, {"num_classes": 10, **arguments}), inputs((2, 3, side, side)))


def _make(family: str, name: str, arguments: dict[str, Any]) -> nn.Module:
    import timm

    torch.manual_seed(0)
    if name[0].islower():
        return timm.create_model(name, **arguments)
    # The package exports functions under the names of some modules.
    module = importlib.import_module(f"timm.models.{family}")
    if "cfg" in arguments and isinstance(arguments["cfg"], dict):
        arguments = {**arguments, "cfg": getattr(module, f"{name}Cfg")(**arguments["cfg"])}
    return getattr(module, name)(**arguments)
