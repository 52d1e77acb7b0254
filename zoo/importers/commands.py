"""The subcommand `zoo import`."""

import argparse
import json

from graphs.commanding import CommandLine
from zoo.importers.registry import FORMATS

IMPORT = """Read a zoo that others published into an ordinary zoo folder, bit for bit. No code of the source is run: of
pickles only tensors and plain containers are read. OUT appears once it is whole; a failed import leaves nothing."""

IMPORT_EXAMPLES = """examples:
  zoo import small-cnn-zoo smallcnnzoo/mnist runs/small    weights.npy, layout.csv and metrics.csv.gz lie there
  zoo import folder my_checkpoints runs/mine               with a table my_checkpoints/metadata.csv, a row a file
  zoo info runs/small                                      what came of it

formats:
"""


def import_(options: argparse.Namespace) -> int:
    """Read a zoo that others published."""
    from zoo.importers import import_zoo
    from zoo.report import info as describe

    import_zoo(options.format, options.src, options.out, progress=not options.quiet)
    report = describe(options.out)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        count = f"{report['members']} networks, {report['states']} states"
        print(f"{options.out}: {count}; `zoo info {options.out}` says more")
    return 0


def add_importing(line: CommandLine) -> None:
    """Give `zoo` the subcommand."""
    one = line.command(
        import_, IMPORT, IMPORT_EXAMPLES + "\n".join(f"  {n:<16}{f.summary}" for n, f in FORMATS.items())
    )
    one.add_argument("format", choices=FORMATS, metavar="FORMAT", help="one of the formats below")
    one.add_argument("src", metavar="SRC", help="folder as it was published")
    one.add_argument("out", metavar="OUT", help="folder of the zoo, new or empty")
    one.add_argument("--quiet", action="store_true", help="no progress bar")
    one.add_argument("--json", action="store_true", help="what `zoo info` says, as JSON")
