"""Options that commands of ``ovms-edge release`` have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ovms_edge.release.depot import Depot

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(commands: Subparsers, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    """Add a command with its example."""
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  ovms-edge release {name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_depot(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the options that name a depot."""
    parser.add_argument("--depot", required=required, metavar="URL", help="https://HOST:PORT")
    parser.add_argument(
        "--ca", type=Path, metavar="FILE", help="CA of the depot, in PEM (default: the system's)"
    )
    parser.add_argument(
        "--credentials", type=Path, metavar="FILE", help="Docker config.json (default: Docker's own, if any)"
    )


def open_depot_of(options: argparse.Namespace) -> Depot:
    """Return the depot that the options name."""
    from ovms_edge.release.depot import open_depot

    return open_depot(options.depot, options.ca, options.credentials)
