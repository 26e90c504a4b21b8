"""``ovms-edge rollout report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ovms_edge.errors import EdgeError
from ovms_edge.rollout.options import add_journal, add_rollout

if TYPE_CHECKING:
    from ovms_edge.release.options import Subparsers


def add(commands: Subparsers) -> None:
    """Add ``report``."""
    summary = "write one HTML page that says what a rollout was"
    parser = commands.add_parser(
        "report",
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. It needs no server and no network.",
        epilog="example:\n  ovms-edge rollout report --output rollout.html",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_rollout(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="where to write it")
    add_journal(parser)
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> None:
    from ovms_edge.release.durable import write_atomically
    from ovms_edge.rollout.control import document_of, opened
    from ovms_edge.rollout.report import render

    with opened(options.journal) as journal:
        document = document_of(journal, options.rollout)
    try:
        write_atomically(options.output, render(document).encode())
    except OSError as error:
        raise EdgeError(
            f"{options.output} cannot be written: {error.strerror}",
            "give --output a path in a directory that is there",
        ) from error
    print(f"{options.output}: {document['id']}, {document['state']}")
