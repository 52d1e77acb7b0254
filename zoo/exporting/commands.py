"""The commands `zoo export` and `zoo push`."""

import argparse
import json

from graphs.commanding import CommandLine

EXPORT = """Write the networks of a zoo in the format of another library: a folder that is whole or not there at all.

hf           a Hugging Face data set: parquet, a row a state, and a card; datasets.load_dataset("DEST") reads it
hdf5         zoo.h5, a group an architecture; DEST.partial/zoo.h5 can be read with swmr=True while it is written
pyg          a PyG OnDiskDataset of parameter graphs: zoo.exporting.pyg.ZooDataset("DEST")
safetensors  weights/ID/STATE.safetensors, a state_dict each, and metadata.parquet"""

EXPORT_EXAMPLES = """examples:
  zoo export runs/digits --to hf exports/digits --licence cc-by-4.0
  zoo export runs/digits --to hdf5 exports/h5 --states final
  zoo export runs/digits --to pyg exports/pyg --where status=ok
  zoo export runs/digits --to safetensors exports/relu --where activation=relu --where activation=gelu"""

PUSH = """Send a zoo to the Hugging Face hub as a data set, or a folder that `zoo export --to hf` wrote. It needs a
token: `hf auth login`, or HF_TOKEN."""

PUSH_EXAMPLES = """examples:
  zoo push runs/digits my-name/digit-zoo --licence cc-by-4.0
  zoo push exports/digits my-name/digit-zoo --private"""


def export(options: argparse.Namespace) -> int:
    """Write a zoo in another format."""
    from zoo.conditions import filter_where
    from zoo.exporting.targets import export as export_zoo
    from zoo.store import open_zoo

    zoo = filter_where(open_zoo(options.out), options.where)
    export_zoo(zoo, options.to, options.dest, options.states, options.licence, progress=not options.quiet)
    report = {
        "folder": options.dest,
        "to": options.to,
        "networks": len(zoo),
        "states": len(zoo.samples(options.states)),
    }
    shown = f"{options.dest}: {report['networks']} networks, {report['states']} states as {options.to}"
    print(json.dumps(report, indent=2) if options.json else shown)
    return 0


def push(options: argparse.Namespace) -> int:
    """Send a zoo to the Hugging Face hub."""
    from zoo.pushing import push as send

    print(send(options.out, options.repo_id, options.licence, options.private, progress=not options.quiet))
    return 0


def add_exporting(line: CommandLine) -> None:
    """Add both commands."""
    one = line.command(export, EXPORT, EXPORT_EXAMPLES)
    one.add_argument("out", help="folder of the zoo")
    one.add_argument("dest", help="folder to write, new or empty")
    one.add_argument("--to", required=True, metavar="FORMAT", help="hf, hdf5, pyg or safetensors")
    one.add_argument("--states", default="all", choices=("all", "final"), help="kept states (default: all)")
    one.add_argument(
        "--where", action="append", default=[], metavar="NAME=VALUE", help="only these networks; repeatable"
    )
    one.add_argument("--licence", default="unknown", help="of the weights, such as cc-by-4.0")
    one.add_argument("--quiet", action="store_true", help="no progress bar")
    one.add_argument("--json", action="store_true", help="say what was written as JSON")
    one = line.command(push, PUSH, PUSH_EXAMPLES)
    one.add_argument("out", help="folder of the zoo, or of its export")
    one.add_argument("repo_id", help="name of the data set: user/name")
    one.add_argument("--licence", default="unknown", help="of the weights, such as cc-by-4.0")
    one.add_argument("--private", action="store_true", help="a new data set is private")
    one.add_argument("--quiet", action="store_true", help="no progress bar")
