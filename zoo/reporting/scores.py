"""The metric that tells good networks of a zoo from bad ones, and the words for every metric."""

from collections.abc import Sequence
from dataclasses import dataclass

# The first that a zoo has is its score: what was measured on unseen data goes before what was trained on.
PREFERRED = ("test_accuracy", "val_accuracy", "psnr", "train_accuracy", "test_loss", "val_loss", "loss", "train_loss")
TITLES = {"psnr": "PSNR, dB", "test_ece": "test calibration error", "val_ece": "validation calibration error"}
LOW_IS_GOOD = ("loss", "ece")


@dataclass(frozen=True)
class Score:
    """A metric.

    Args:
        name: its column in the zoo's table.
    """

    name: str

    @property
    def title(self) -> str:
        """As an axis shows it."""
        return TITLES.get(self.name, self.name.replace("_", " "))

    @property
    def higher_is_better(self) -> bool:
        return not self.name.endswith(LOW_IS_GOOD)


def choose_score(names: Sequence[str]) -> Score | None:
    """The score among the metrics of a zoo; None when it has none.

    >>> choose_score(["loss", "psnr"]).title
    'PSNR, dB'
    """
    return Score(in_order(names)[0]) if names else None


def in_order(names: Sequence[str]) -> list[str]:
    """Metrics with the known ones first, in the order of preference."""
    return [name for name in PREFERRED if name in names] + sorted(set(names) - set(PREFERRED))
