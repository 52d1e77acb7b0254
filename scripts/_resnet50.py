"""ResNet-50, https://arxiv.org/abs/1512.03385: 25,557,032 parameters for the 1000 classes of ImageNet."""

from __future__ import annotations

from torch import nn

from graphs.deepnets.predefined import predefined


def resnet50(classes: int = 1000) -> nn.Module:
    """Images ``[batch, 3, height, width]`` -> ``[batch, classes]``."""
    return predefined(input_shape=(3, 224, 224), outputs=classes)["resnet50"].build()
