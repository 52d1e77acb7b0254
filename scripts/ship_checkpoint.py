"""Put a hypernetwork that scripts/train_ghn.py trained into the package, with a card.

    python scripts/ship_checkpoint.py --run OUT/ghn2 --results scripts/results/train_ghn.json --name ghn2-digits

The card says what it was trained on and for how long, and what it reached, from the files of the run alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from readme_tables import accuracies

import hypernets
from graphs.durable import write_durably
from hypernets.hub import SHIPPED
from hypernets.tasks.images import read, space_for
from metanets.callbacks import read_log
from metanets.hub import WEIGHTS

LARGEST = 15e6
CARD = """# {name}

A graph hypernetwork ({parameters:,} parameters) that writes all parameters of image classifiers it never saw.

```python
ghn = hypernets.load("{name}")
weights, report = ghn.predict(net, example_images)
```

- **Data**: {data}. Augmentation: {augment}.
- **Architectures**: {pool:,} of the space `{space}`; none of those scored below.
- **Budget**: {steps:,} steps, each of {image_batch} images and meta-batches of {meta_batch}; {seconds:,.0f} s of CPU
  time on one thread ({machine}, {date}). Seed {seed}.
- **Settings**: `{settings}`

Accuracy on test images with the written parameters alone, mean over architectures, in per cent:

{table}

Made by `scripts/train_ghn.py`; the figures are those of `{results}`.
"""


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    ghn, folder = hypernets.load(given.run), Path(given.shipped) / given.name
    ghn.save_pretrained(folder)
    size = (folder / WEIGHTS).stat().st_size
    if size > LARGEST:
        raise SystemExit(f"{folder} has {size / 1e6:.1f} MB of weights, more than the {LARGEST / 1e6:.0f} MB to ship")
    write_durably(folder / "README.md", card(given, ghn).encode())
    print(f"{folder}: {size / 1e6:.2f} MB")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", required=True, help="folder of the training, OUT/ghn2")
    parser.add_argument("--results", required=True, help="file with the figures of the same call of train_ghn.py")
    parser.add_argument("--name", required=True, help="by which hypernets.load finds it")
    parser.add_argument("--data", help="the images, in words (default: as the run names them)")
    parser.add_argument("--shipped", default=str(SHIPPED), help="folder of all shipped ones")
    return parser.parse_args(arguments)


def card(given: argparse.Namespace, ghn: Any) -> str:
    run = json.loads((Path(given.run) / "run.json").read_text())
    trained = json.loads((Path(given.run) / "trained.json").read_text())
    found = json.loads(Path(given.results).read_text())
    ends = [record for record in read_log(Path(given.run) / "log.jsonl") if record["event"] == "end"]
    told = "arguments lr rates warmup network_clip identity update_bias".split()
    return CARD.format(
        **{key: run[key] for key in "augment pool meta_batch image_batch seed".split()},
        name=given.name,
        parameters=sum(p.numel() for p in ghn.parameters()),
        data=given.data or run["data"],
        space=run["space"] or space_for(read(run["data"], run["limit"])),
        steps=ends[-1]["step"],
        seconds=trained["seconds"],
        machine=found["machine"],
        date=found["date"][:10],
        settings=json.dumps({key: run[key] for key in told}),
        table=accuracies(found["rows"]),
        results=f"scripts/results/{Path(given.results).name}",
    )


if __name__ == "__main__":
    sys.exit(main())
