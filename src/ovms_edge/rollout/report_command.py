"""``ovms-edge rollout report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ovms_edge.errors import EdgeError

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
    parser.add_argument("rollout", nargs="?", metavar="ID", help="default: the newest")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="where to write it")
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="default: rollouts.sqlite in XDG_STATE_HOME/ovms-edge"
    )
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> None:
    from ovms_edge.release.durable import write_atomically
    from ovms_edge.rollout.control import default_journal, document_of, opened
    from ovms_edge.rollout.report import render

    with opened(options.journal or default_journal()) as journal:
        document = document_of(journal, options.rollout)
    try:
        write_atomically(options.output, render(document).encode())
    except OSError as error:
        raise EdgeError(
            f"{options.output} cannot be written: {error.strerror}",
            "give --output a path in a directory that is there",
        ) from error
    print(f"{options.output}: {document['id']}, {document['state']}")
