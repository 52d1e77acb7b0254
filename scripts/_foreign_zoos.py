"""Small zoos in the layouts that others publish, with what their networks say to one input.

The outputs come from forward passes written out here, so that they stand apart from what the importers rebuild.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from _foreign_cnns import modelzoos, modelzoos_pt, small_cnn_zoo
from _foreign_known import Known
from _foreign_others import dwsnets, folder, gpt, hub, nfn_inrs
from _foreign_park import cnn_wild_park

WRITERS: dict[str, Callable[[Path, np.random.Generator], list[Known]]] = {
    "small-cnn-zoo": small_cnn_zoo,
    "modelzoos": modelzoos,
    "modelzoos-pt": modelzoos_pt,
    "dwsnets": dwsnets,
    "nfn-inrs": nfn_inrs,
    "cnn-wild-park": cnn_wild_park,
    "gpt": gpt,
    "folder": folder,
    "hub": hub,
}
