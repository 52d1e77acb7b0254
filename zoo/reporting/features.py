"""The hyper-parameters that differ within a zoo, as arrays."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from zoo.hyperparameters import ARGUMENT, HYPERPARAMETERS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# A seed or the number of an image is not what one compares networks by.
LEFT_OUT = ("seed", "image")
MISSING = "none"
TITLES = {"family": "recipe"}
# A number that takes at most so many values is shown as these values, not as a range.
FEW = 10
# The largest value is at least so many times the smallest where a logarithmic axis is used.
DECADES = 20


@dataclass(frozen=True)
class Feature:
    """One column of the table.

    Args:
        name: the column.
        values: ``[M]``, float64 with NaN for none, or text.
    """

    name: str
    values: "np.ndarray"

    @property
    def title(self) -> str:
        """As the page shows it."""
        return TITLES.get(self.name, self.name.removeprefix(ARGUMENT).replace("_", " "))

    @property
    def numeric(self) -> bool:
        return self.values.dtype.kind == "f"

    @cached_property
    def distinct(self) -> list:
        """The values that occur in ascending order, without none."""
        import numpy as np

        kept = self.values[~np.isnan(self.values)] if self.numeric else self.values
        return np.unique(kept).tolist()

    @property
    def few(self) -> bool:
        """Whether it is shown as separate values."""
        return not self.numeric or len(self.distinct) <= FEW

    @property
    def logarithmic(self) -> bool:
        return self.numeric and self.distinct[0] > 0 and self.distinct[-1] >= DECADES * self.distinct[0]

    @cached_property
    def words(self) -> list[str]:
        """``[M]``, as text."""
        return [MISSING if v != v else f"{v:.4g}" for v in self.values] if self.numeric else self.values.tolist()


def varied_features(table: "pa.Table") -> list[Feature]:
    """The hyper-parameters that are not the same in all networks, and the class of an image network."""
    names = [name for name in HYPERPARAMETERS if name not in LEFT_OUT]
    names += [name for name in table.column_names if name.startswith(ARGUMENT)] + ["label"]
    features = [feature(table, name) for name in names if name in table.column_names]
    return [f for f in features if len(set(f.words)) > 1]


def feature(table: "pa.Table", name: str) -> Feature:
    """One column as an array."""
    import numpy as np
    import pyarrow.types as types

    column, kind = table[name].to_pylist(), table[name].type
    if types.is_floating(kind) or (types.is_integer(kind) and name != "label"):
        return Feature(name, np.array([np.nan if v is None else v for v in column], np.float64))
    return Feature(name, np.array([MISSING if v is None else str(v) for v in column], np.str_))
