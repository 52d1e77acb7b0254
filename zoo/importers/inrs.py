"""Image networks (SIRENs) of DWSNets (https://arxiv.org/abs/2301.12780) and of NFN (https://arxiv.org/abs/2302.14040).

DWSNets: ``mnist_png_{training,testing}_{label}_{id}/checkpoints/model_final.pth``, and for FashionMNIST
``{train,test}/model_{i}.pth`` with the class beside the weights; the output is shifted by .5 to pixels in [0, 1].
NFN: ``siren_*_wts/{prefix}_{label}s/net{i}.pth``; the output is in [-1, 1].
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.importers.network import ForeignNetwork, in_order, layout_of, recipe
from zoo.importers.published_splits import published_splits
from zoo.importers.sources import Sources
from zoo.importers.torch_files import TorchFile
from zoo.importers.unpickling import TensorReference

if TYPE_CHECKING:
    from torch import Tensor

W0 = 30.0


def read_dwsnets(sources: Sources) -> Iterator[ForeignNetwork]:
    """The networks of MNIST and FashionMNIST folders, one a file."""
    for path in sources.find("**/mnist_png_*/checkpoints/model_final.pth"):
        found = re.fullmatch(r"mnist_png_(training|testing)_(\d)_(\d{1,9})", path.parent.parent.name)
        if found is None:
            raise ValueError(f"{path}: expected a folder mnist_png_training_LABEL_ID, got {path.parent.parent.name}")
        columns = {"images": found[1], "image_id": int(found[3])}
        yield _network(sources, path, "/".join(path.parts[-3:]), int(found[2]), 0.5, columns)
    for path in [p for part in ("train", "test") for p in sources.find(f"**/{part}/model_*.pth")]:
        tail = "/".join(path.parts[-2:])
        yield _network(sources, path, tail, None, 0.5, {"images": path.parent.name})


def read_nfn(sources: Sources) -> Iterator[ForeignNetwork]:
    """The networks of ``siren_*_wts`` folders, one a file."""
    for path in sources.find("**/net*.pth"):
        found = re.fullmatch(r"(.+)_(\d{1,4})s", path.parent.name)
        if found is None:
            raise ValueError(f"{path}: expected a folder PREFIX_LABELs, got {path.parent.name}")
        yield _network(sources, path, "/".join(path.parts[-3:]), int(found[2]), 0.0, {"images": found[1]})


def _network(
    sources: Sources, path: Path, tail: str, label: int | None, shift: float, columns: dict[str, Any]
) -> ForeignNetwork:
    file = TorchFile(sources(path))
    content = file.content if isinstance(file.content, dict) else {}
    tensors = _pairs(file.state_dict({k: v for k, v in content.items() if k != "label"}), str(path))
    weights = [tensor.shape for tensor in tensors[::2]]
    hidden, ends = [shape[0] for shape in weights[:-1]], (weights[0][1], weights[-1][0])
    made = recipe("siren", inputs=ends[0], hidden=hidden, outputs=ends[1], w0=W0, shift=shift)
    layout = layout_of(made)
    splits = {stem: table.get(tail) for stem, table in _splits(sources, tail).items()}
    return ForeignNetwork(
        source=sources.name(path),
        recipe=made,
        layout=layout,
        epochs=(1,),
        states=in_order(layout, tensors, str(path))[None],
        columns=columns | splits,
        label=_label(file, content, label),
    )


def _splits(sources: Sources, tail: str) -> dict[str, dict[str, str]]:
    return published_splits(sources, tail.count("/") + 1)


def _pairs(state: "Mapping[str, Tensor]", where: str) -> "Sequence[Tensor]":
    """The tensors, checked to be weight and bias in turn; layers are in the order of the file."""
    names = list(state)
    kinds = [name.rsplit(".", 1)[-1] for name in names]
    layers = [name.rsplit(".", 1)[0] for name in names]
    tensors = list(state.values())
    paired = kinds == ["weight", "bias"] * (len(names) // 2) and layers[::2] == layers[1::2]
    if not paired or any(tensor.dim() != 2 for tensor in tensors[::2]) or len(set(layers)) * 2 != len(layers):
        raise ValueError(f"{where}: expected a weight and a bias of each linear layer in turn, got {names}")
    return tensors


def _label(file: TorchFile, content: dict[Any, Any], named: int | None) -> int | None:
    """The class of the image, beside the weights or in the name of the file."""
    label = content.get("label", named)
    if isinstance(label, TensorReference):
        tensor = file.tensor(label)
        label = tensor.item() if tensor.numel() == 1 else None
    if label is None and "label" not in content:
        return None
    if type(label) is not int or not 0 <= label < 2**31:
        raise ValueError(f"{file.path}: expected the class of an image as label, got {str(label)[:80]}")
    return label
