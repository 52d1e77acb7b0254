"""A user's own network, loss and images go from ``zoo build`` over ``metanets train`` to ``metanets predict``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy
from PIL import Image
from safetensors.torch import save_file

CODE = '''
from torch import nn
from torch.nn.functional import one_hot

class Net(nn.Module):
    """A convolution, a branch beside it, a linear layer."""

    def __init__(self, width=4, classes=2, activation="relu"):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.branch = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.stem(x).relu()
        x = x + self.branch(x).relu()
        return self.head(x.mean((2, 3)))

def squared(outputs, targets):
    return (outputs - one_hot(targets, outputs.shape[1])).square().mean()
'''


def write_images(folder: Path) -> None:
    """Two classes of 8x8 images: bright above, bright below."""
    generator = numpy.random.default_rng(0)
    for split, count in (("train", 20), ("test", 10)):
        for label, rows in (("above", slice(0, 4)), ("below", slice(4, 8))):
            (folder / split / label).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 120, (8, 8)).astype("uint8")
                pixels[rows] += 120
                Image.fromarray(pixels).save(folder / split / label / f"{index}.png")


def run(folder: Path, *command: str) -> str:
    paths = [str(folder), str(Path(__file__).parents[2])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_own_network_loss_and_images(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "my_code.py").write_text(CODE)
    write_images(tmp_path / "images")
    spec = {
        "data": {"source": str(tmp_path / "images"), "grayscale": True},
        "recipes": [{"factory": "my_code:Net", "loss": "my_code:squared"}],
        "fixed": {"optimiser": "adam"},
        "random": {"lr": {"loguniform": [1e-4, 1e-1]}},
        "members": 24,
        "epochs": 3,
        "batch_size": 8,
        "keep": [1, 3],
    }
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    run(tmp_path, "zoo", "build", "spec.yaml", "nets", "--workers=0")
    run(tmp_path, "metanets", "train", "--zoo=nets", "--model=ng-gnn", "--steps=4", "--out=run", "--no-progress")

    monkeypatch.syspath_prepend(str(tmp_path))
    from my_code import Net  # pyright: ignore[reportMissingImports]

    import zoo

    member = zoo.open(tmp_path / "nets")[0]
    assert {e.name for e in member.topology.entries} == set(Net().state_dict())
    (tmp_path / "weights").mkdir()
    save_file({k: v.clone() for k, v in member.state_dict().items()}, tmp_path / "weights" / "mine.safetensors")
    predict = ["metanets", "predict", "--checkpoint=run", "--weights=weights", "--arch=my_code:Net"]
    run(tmp_path, *predict, "--input-shape=1,1,8,8", "--json=from_folder.json")
    run(tmp_path, "metanets", "predict", "--checkpoint=run", "--zoo=nets", "--json=from_zoo.json")
    alone = json.loads((tmp_path / "from_folder.json").read_text())["predictions"]["mine.safetensors"]
    of_zoo = json.loads((tmp_path / "from_zoo.json").read_text())["predictions"]
    last = [value for name, value in of_zoo.items() if name.startswith(member.id)][-1]
    assert 0 < alone < 1
    assert abs(alone - last) < 1e-5
