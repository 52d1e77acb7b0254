"""The architectures that scripts/coverage_ghn.py asks a graph hypernetwork to write."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

# A network, inputs to predict it on, and others of the same kind.
Made = tuple[nn.Module, tuple[Any, ...], tuple[Any, ...]]
# Of each corpus of tests/corpus, small models.
SMALL = {
    "torch": "Bilinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d BatchNorm3d GroupNorm "
    "RMSNorm PReLU Embedding LSTM GRUCell MultiheadAttention Transformer",
    "pyg": "GCN GraphSAGE GIN GAT PNA EdgeCNN GraphUNet SchNet",
    "transformers": "bert distilbert roberta gpt2 llama t5 opt mamba vit clip electra convnext",
    "timm": "beit cait convmixer convnext densenet efficientnet levit maxxvit mlp_mixer mobilenetv3 mvitv2 regnet "
    "resnet swin_transformer_v2 vision_transformer xcit",
}


@dataclass(frozen=True)
class Architecture:
    """One network with example inputs.

    Args:
        name: for tables. make: the network with the weights of its own rule, and inputs twice.
    """

    name: str
    make: Callable[[], Made]


def architectures() -> Iterator[Architecture]:
    """All of them, the corpora first. tests/ has to be on sys.path."""
    for corpus, names in SMALL.items():
        for name in names.split():
            yield Architecture(f"{corpus} {name}", partial(_of_corpus, corpus, name))
    for name in "resnet50 efficientnet_b0 vit_tiny_patch16_224 swin_tiny_patch4_window7_224 convnext_tiny".split():
        yield Architecture(f"full {name}", partial(_timm, name, 224))
    yield Architecture("full maxvit_rmlp_pico_rw_256", partial(_timm, "maxvit_rmlp_pico_rw_256", 256))
    yield Architecture("full gpt2", _gpt2)
    yield Architecture("own unet", lambda: _images(UNet(), 32))
    yield Architecture("own lstm", lambda: _tokens(Reader(), 100, (2, 20)))


def _of_corpus(corpus: str, name: str) -> Made:
    builder = importlib.import_module(f"corpus.{corpus}_models")
    builder.warm()
    case = builder.build(name)
    seen, fresh = (case.draw(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    return case.make(), seen, fresh


def _timm(name: str, side: int) -> Made:
    _with_torchvision()
    from timm import create_model

    return _images(create_model(name), side)


def _gpt2() -> Made:
    _with_torchvision()
    from transformers import GPT2Config, GPT2LMHeadModel

    # Without a cache, which is no tensor that a layer reads.
    return _tokens(GPT2LMHeadModel(GPT2Config(use_cache=False)), 50257, (1, 16))


def _images(module: nn.Module, side: int) -> Made:
    return module, (torch.randn(2, 3, side, side),), (torch.randn(2, 3, side, side),)


def _tokens(module: nn.Module, vocabulary: int, shape: tuple[int, int]) -> Made:
    return module, (torch.randint(vocabulary, shape),), (torch.randint(vocabulary, shape),)


def _with_torchvision() -> None:
    importlib.import_module("corpus.torchvision_shim").importable_torchvision()


class Reader(nn.Module):
    """Tokens through an embedding and two layers of LSTM to ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Embedding(100, 32), nn.LSTM(32, 64, 2, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.lstm(self.embed(tokens))[0][:, -1])


class UNet(nn.Module):
    """Three scales, down by strides and up by transposed convolutions (https://arxiv.org/abs/1505.04597)."""

    def __init__(self, width: int = 16, classes: int = 4) -> None:
        super().__init__()
        self.first, self.last = _double(3, width), nn.Conv2d(width, classes, 1)
        self.down = nn.ModuleList([_double(width, 2 * width), _double(2 * width, 4 * width)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(s * width, s * width // 2, 2, stride=2) for s in (4, 2)])
        self.join = nn.ModuleList([_double(s * width, s * width // 2) for s in (4, 2)])

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.first(x)]
        for layer in self.down:
            maps.append(layer(torch.max_pool2d(maps[-1], 2)))
        x = maps.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([maps.pop(), up(x)], 1))
        return self.last(x)


def _double(inputs: int, out: int) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, out, 3, padding=1), nn.ReLU(), nn.Conv2d(out, out, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)
