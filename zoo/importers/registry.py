"""The foreign formats that can be imported."""

from dataclasses import dataclass

from graphs.importing import resolve
from zoo.importers.network import Importer


@dataclass(frozen=True)
class Format:
    """One foreign format.

    Args:
        importer: ``module:function`` of its importer.
        summary: what it is, with the layout of its folder.
    """

    importer: str
    summary: str

    def load(self) -> Importer:
        return resolve(f"zoo.importers.{self.importer}")


FORMATS: dict[str, Format] = {
    "small-cnn-zoo": Format("small_cnn_zoo:read", "Small CNN Zoo: weights.npy, layout.csv, metrics.csv.gz"),
    "modelzoos": Format("modelzoos:read", "ModelZoos, raw: TRIAL/{params.json,result.json,checkpoint_*/checkpoints}"),
    "modelzoos-pt": Format("modelzoos_preprocessed:read", "ModelZoos, preprocessed: *.pt data sets"),
    "dwsnets": Format("inrs:read_dwsnets", "DWSNets image networks: MNIST folders of a network, or fmnist_inrs"),
    "nfn-inrs": Format("inrs:read_nfn", "NFN image networks: siren_*_wts/PREFIX_LABELs/net*.pth"),
    "cnn-wild-park": Format("cnn_wild_park:read", "CNN Wild Park: TRIAL/CHECKPOINT/checkpoint.pt"),
    "gpt": Format("gpt:read", "G.pt checkpoints: RUN/{data.mdb,runs.json}"),
    "folder": Format("folder:read", "safetensors or .pt state dicts with a table (csv, json, parquet), a row a file"),
    "hub": Format("hub:read", "Hugging Face models: config.json with safetensors, one folder or many"),
}


def find_format(name: str) -> Format:
    """The format of this name; raises ValueError that lists them."""
    if name not in FORMATS:
        raise ValueError(f"unknown format {name!r}; expected one of {', '.join(FORMATS)}")
    return FORMATS[name]
