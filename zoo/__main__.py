"""The command `zoo`."""

import argparse
import json
import sys

from graphs.commanding import CommandLine
from zoo.engines.options import PATIENCE
from zoo.exporting.commands import add_exporting
from zoo.importers.commands import add_importing
from zoo.recreating import add_recreating
from zoo.reporting.commands import add_reporting
from zoo.spec import TRAINERS

EXAMPLES = """examples:
  zoo build scripts/specs/digits.yaml runs/digits          build, or go on with what was begun
  zoo info runs/digits                                      what is in it
  zoo verify runs/digits                                    read every file and compare it with its checksum
  zoo report runs/digits -o report.html                     see it: one page with plots, needs no network
  zoo recreate runs/digits 3f9c                             train one network again from its row alone
  zoo export runs/digits --to hf exports/digits             as a Hugging Face data set, HDF5, PyG or safetensors
  zoo import small-cnn-zoo mnist runs/small                 read a zoo that others published

A spec is YAML; this one gives 100 networks that differ in seed, width, activation and learning rate:
  data: digits
  recipes: [mlp]
  members: 100
  random:
    width: {int: [8, 32]}
    activation: [relu, tanh, gelu]
    lr: {loguniform: [1.0e-4, 3.0e-2]}
  epochs: 10
  keep: [0, 2, 5, 10]"""

BUILD = """Train the networks of a spec into a folder. Killed or interrupted, the same command goes on where it stopped,
and ends in the same bytes as if nothing had happened; damaged shards are trained again, whole ones never touched."""

BUILD_EXAMPLES = """examples:
  zoo build my.yaml runs/mine                       on all cores, one thread each
  zoo build my.yaml runs/mine --workers 1           on one core
  zoo build my.yaml runs/mine --workers 0           in this process: a debugger and full tracebacks work
  zoo build my.yaml runs/ref --trainer reference    one network at a time: each can be re-created from its row
  zoo build my.yaml runs/mine --data ~/faces        on other data: the source is replaced, resize and so on stay
  zoo build my.yaml runs/mine --patience 7200       a worker that trains no batch for so many seconds is replaced
  zoo build my.yaml /shared/mine --engine ray --address auto --workers 64      on a Ray cluster
  zoo build my.yaml /shared/mine --engine slurm --workers 200                  as arrays of Slurm jobs
  zoo build my.yaml s3://bucket/mine                in ~/.cache/metazoo, each finished shard copied there as it comes

data:     digits | hf:ID | a folder of images or parquet files | {source: ..., resize: 16, limit: 1000}
          text | text:FILE | {source: "text:books/*.txt", context: 64}   for gpt: bytes, and the bytes that follow
recipes:  mlp, cnn, siren, resnet, gpt, ... or your own my_module:make_net, with loss: my_module:my_loss;
          {space: cnn, architectures: 40} is 40 random architectures; also mlp, resnet, vit, gpt, deepnets_small
varied:   activation init init_scale optimiser lr weight_decay momentum dropout train_fraction width depth kernel seed
          schedule (constant step cosine one_cycle) step_size gamma label_noise sparsity target_psnr (image networks)
          poison_fraction target_class (a backdoor: part of the images bear a trigger and the target's label)
          (sgd has momentum 0.9 unless the spec sets it; 0 is plain gradient descent)
          fixed: {lr: 0.01}   grid: {lr: [0.01, 0.1]}   random: {lr: {loguniform: [1.0e-4, 0.1]}}
length:   epochs: 10  keep: [0, 5, 10]   or   steps: 1000  keep: {every: 100}, which count updates
measured: loss and accuracy of train and test, test_ece, test_class_accuracy; of val too with data: {val_fraction: 0.1};
          trigger_success with poison_fraction; loss and psnr of an image network"""


def build(options: argparse.Namespace) -> int:
    """Build a zoo."""
    from dataclasses import replace

    from zoo.building import build as build_zoo
    from zoo.spec import ZooSpec

    spec = ZooSpec.from_yaml(options.spec)
    if options.trainer is not None:
        spec = replace(spec, trainer=options.trainer)
    if options.data is not None:
        spec = replace(spec, data=spec.data | {"source": options.data})
    zoo = build_zoo(
        spec,
        options.out,
        engine=options.engine,
        workers=options.workers,
        progress=not options.quiet,
        address=options.address,
        patience=options.patience,
        gpus=options.gpus,
    )
    states = len(zoo.samples())
    print(f"{options.out}: {len(zoo)} networks, {states} states; `zoo info {options.out}` says more")
    return 0


def info(options: argparse.Namespace) -> int:
    """Tell what is in a zoo."""
    from zoo.report import info as describe
    from zoo.showing import show_info

    report = describe(options.out)
    print(json.dumps(report, indent=2) if options.json else show_info(report))
    return 0


def verify(options: argparse.Namespace) -> int:
    """Check a zoo's files."""
    from zoo.report import verify as check

    problems = check(options.out)
    if options.json:
        print(json.dumps({"folder": options.out, "whole": not problems, "problems": problems}, indent=2))
    elif problems:
        print("\n".join(problems))
        mend = f"`zoo build {options.out}/spec.yaml {options.out}` makes them again, or import the zoo again"
        print(f"{len(problems)} damaged; {mend}")
    else:
        print(f"{options.out} is whole: every file has its checksum")
    return 1 if problems else 0


def command_line() -> CommandLine:
    """The commands with their options."""
    line = CommandLine("zoo", "Populations of trained networks.", EXAMPLES)
    one = line.command(build, BUILD, BUILD_EXAMPLES)
    one.add_argument("spec", help="YAML file of the spec")
    one.add_argument("out", help="folder of the zoo: new, empty, or begun with this spec")
    one.add_argument("--workers", type=int, help="one-thread processes (default: one a core; 0: this process)")
    one.add_argument("--trainer", choices=TRAINERS, help="in place of the spec's trainer")
    one.add_argument("--data", help="source in place of the spec's, whose other data options stay")
    one.add_argument("--engine", choices=("local", "ray", "slurm", "inline"), default="local", help="what runs them")
    one.add_argument("--address", help="of a Ray cluster (default: one of this machine); slurm: local is without Slurm")
    one.add_argument("--patience", type=float, default=PATIENCE, help="seconds without a batch until replaced")
    one.add_argument("--gpus", type=float, default=0, help="share of a GPU leased to each worker by ray or slurm")
    one.add_argument("--quiet", action="store_true", help="no progress bar")
    one = line.command(
        info, "Tell what is in a zoo.", "examples:\n  zoo info runs/digits\n  zoo info runs/digits --json"
    )
    one.add_argument("out", help="folder of the zoo")
    one.add_argument("--json", action="store_true", help="as JSON")
    text = "Read every file of a zoo and compare it with its checksum. Exit code 1 when any is damaged or missing."
    one = line.command(verify, text, "examples:\n  zoo verify runs/digits\n  zoo verify runs/digits --json")
    one.add_argument("out", help="folder of the zoo")
    one.add_argument("--json", action="store_true", help="as JSON")
    add_recreating(line)
    add_reporting(line)
    add_exporting(line)
    add_importing(line)
    return line


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return command_line().run(arguments)


if __name__ == "__main__":
    sys.exit(main())
