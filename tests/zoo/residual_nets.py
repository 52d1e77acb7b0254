"""Networks of residual blocks, for the trainers."""

from torch import nn

from graphs.families.activations import activation as make_activation
from graphs.families.residual import Residual


def rows(activation: str = "relu", dropout: float = 0.0) -> nn.Module:
    """Blocks of linear layers: one before anything has weights, one within another."""

    def layers(width: int) -> list[nn.Module]:
        return [nn.Linear(width, width), make_activation(activation), nn.Dropout(dropout)]

    outer = Residual(*layers(7), Residual(*layers(7)), nn.Linear(7, 7))
    return nn.Sequential(nn.Flatten(), Residual(nn.Linear(64, 64)), nn.Linear(64, 7), outer, nn.Linear(7, 10))


def maps(activation: str = "relu", dropout: float = 0.0) -> nn.Module:
    """Blocks of convolutions: one on the images themselves, one within another."""
    inner = Residual(nn.Conv2d(3, 3, 1), make_activation(activation))
    outer = Residual(nn.Conv2d(3, 5, 3, padding=1), make_activation(activation), nn.Conv2d(5, 3, 3, padding=1), inner)
    first = Residual(make_activation(activation), nn.Dropout(dropout), nn.Conv2d(1, 1, 3, padding=1))
    return nn.Sequential(first, nn.Conv2d(1, 3, 3), outer, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(27, 10))
