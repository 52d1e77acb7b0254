"""The command `graphs`."""

import argparse
import json
import sys
from typing import Any

from graphs.commanding import CommandLine

EXAMPLES = """examples:
  graphs inspect resnet                                                 a built-in family
  graphs inspect my_code:make_net --input-shape 1,3,32,32               your own network
  graphs draw my_code:make_net --input-shape 1,3,32,32 -o net.svg       its picture"""

INSPECT = """Trace a network and tell what it is made of: groups of neurons that permute as one, the sites where they
stand, the blocks of weights between sites, the relations without weights, and a certificate that random symmetries
leave its function unchanged. Exit code 1 when the certificate is refuted or cannot be made."""

INSPECT_EXAMPLES = """examples:
  graphs inspect resnet --kwargs '{"widths": [4, 8]}'                     a built-in family, with its arguments
  graphs inspect my_code:make_net --input-shape 1,3,32,32                 any factory or class in this folder
  graphs inspect my_code:make_gpt --input-shape 1,16 --input-max 50257    tokens: whole numbers below 50257
  graphs inspect my_code:two_inputs --input-shape 1,8 --input-shape mask=1,8 --input-dtype float32 --input-dtype bool
  graphs inspect timm:create_model --kwargs '{"model_name": "resnet50"}' --input-shape 1,3,64,64
  graphs inspect mlp --scale                                              with scale and sign symmetries
  graphs inspect resnet --json | jq .sizes                                for scripts

A shape holds the batch axis; small sizes that run will do, with at least 2 tokens or time steps.
Built-in families: """


DRAW = """Draw a network as SVG: sites are bars of neurons, left to right by layer; blocks of weights are bands;
residual connections, concatenations and norms are dashed. Bars of one colour are one
group of neurons, which move together."""

DRAW_EXAMPLES = """examples:
  graphs draw resnet -o resnet.svg
  graphs draw gpt --kwargs '{"depth": 1}' -o gpt_block.svg
  graphs draw my_code:make_net --input-shape 1,3,32,32 -o net.svg"""


def inspect(options: argparse.Namespace) -> int:
    """Tell what a network is made of."""
    from graphs import with_scales
    from graphs.inspection import report
    from graphs.showing import show

    module, probe, topology = _traced(options)
    if options.scale:
        topology = with_scales(topology, module, *probe.args, **probe.kwargs)
    told = report(topology)
    if options.certify:
        told["certificate"] = _certificate(module, probe, options.scale)
    print(json.dumps(told, indent=2) if options.json else show(_name(options), told))
    return 0 if told["certificate"] is None or told["certificate"]["passed"] else 1


def draw(options: argparse.Namespace) -> int:
    """Draw a network as SVG."""
    from graphs.drawing.picture import check_path
    from graphs.drawing.picture import draw as draw_picture

    check_path(options.out)
    topology = _traced(options)[-1]
    draw_picture(topology, options.out, title=options.title or _name(options))
    print(f"{options.out}: {len(topology.sites)} sites, {len(topology.blocks)} blocks")
    return 0


def _traced(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    from graphs.arguments import network
    from graphs.tracing import trace

    given = (options.kwargs, options.input_shape, options.input_dtype, options.input_max)
    module, probe = network(options.factory, *given)
    return module, probe, trace(module, *probe.args, **probe.kwargs)


def _certificate(module: Any, probe: Any, scale: bool) -> dict[str, Any]:
    """The certificate as a row, or why there is none."""
    from graphs import certify

    try:
        return certify(module, *probe.args, kwargs=probe.kwargs, scale=scale).to_dict()
    except ValueError as error:
        return {"passed": False, "reason": str(error)}


def _name(options: argparse.Namespace) -> str:
    return options.factory if options.kwargs == "{}" else f"{options.factory} {options.kwargs}"


def command_line() -> CommandLine:
    """The commands with their options."""
    from graphs.recipe import FAMILIES

    line = CommandLine("graphs", "Networks as graphs.", EXAMPLES)
    one = line.command(inspect, INSPECT, INSPECT_EXAMPLES + ", ".join(FAMILIES))
    _add_network(one)
    one.add_argument("--json", action="store_true", help="as JSON")
    one.add_argument(
        "--certify", action=argparse.BooleanOptionalAction, default=True, help="prove the conversion (default)"
    )
    one.add_argument("--scale", action="store_true", help="also search scale and sign symmetries of neurons")
    one = line.command(draw, DRAW, DRAW_EXAMPLES)
    _add_network(one)
    one.add_argument("-o", "--out", required=True, metavar="FILE.svg", help="file to write")
    one.add_argument("--title", help="in place of the name of the network")
    return line


def _add_network(parser: argparse.ArgumentParser) -> None:
    """The options that tell a network and its inputs."""
    add = parser.add_argument
    add("factory", help="module:factory, or a built-in family")
    add("--kwargs", default="{}", metavar="JSON", help="arguments of the factory")
    shapes = "shape of an input, batch included; again for every further input; NAME=N,N,... for one by keyword"
    add("--input-shape", action="append", default=[], metavar="N,N,...", help=shapes)
    dtypes = "of all inputs, or once a shape: int64"
    add("--input-dtype", action="append", default=[], metavar="DTYPE", help=dtypes)
    add("--input-max", action="append", default=[], type=int, metavar="N", help="whole numbers below N (tokens)")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return command_line().run(arguments)


if __name__ == "__main__":
    sys.exit(main())
