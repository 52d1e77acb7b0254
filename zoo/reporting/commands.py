"""The subcommand `zoo report`."""

import argparse
import json

from graphs.commanding import CommandLine

REPORT = """Write one HTML page on a zoo, complete or not: distributions, hyper-parameters, training curves, projections
of weights, norms, diverged and duplicate networks, provenance. It holds all that it needs and opens offline. An earlier
report at the destination is replaced in one step; any other file there is left alone."""


def report(options: argparse.Namespace) -> int:
    """Write a page with plots of a zoo."""
    from zoo.reporting import write_report

    told = write_report(options.out, options.output, options.limit, options.seed, progress=not options.quiet)
    if options.json:
        print(json.dumps(told, indent=2))
    else:
        print(
            f"{told['page']}: {len(told['plots'])} plots of {told['networks']} networks, {told['bytes'] / 1e6:.1f} MB"
        )
    return 0


def add_reporting(line: CommandLine) -> None:
    """Give `zoo` the subcommand."""
    examples = "examples:\n  zoo report runs/digits\n  zoo report runs/digits -o digits.html --limit 500"
    one = line.command(report, REPORT, examples)
    one.add_argument("out", help="folder of the zoo")
    one.add_argument("-o", "--output", default="report.html", help="the page (default: report.html)")
    one.add_argument("--limit", type=int, default=2000, help="most networks drawn one by one (default: 2000)")
    one.add_argument("--seed", type=int, default=0, help="of the choice of these networks (default: 0)")
    one.add_argument("--json", action="store_true", help="tell what was written as JSON")
    one.add_argument("--quiet", action="store_true", help="no progress bars")
