"""``ovms-edge graph render | check | explain``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ovms_edge.release.commands import DEFAULT_OVMS_VERSION

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_group(groups: Subparsers) -> None:
    """Add ``graph`` and its commands."""
    group = groups.add_parser("graph", help="render, check, mend and explain graph.pbtxt")
    commands = group.add_subparsers(metavar="COMMAND", required=True)
    _add_render(commands)


def _add_render(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "render",
        help="write a graph.pbtxt that checks clean",
        description="Write a graph.pbtxt that the OVMS version loads. device and cache_size have to be set.",
        epilog=(
            "examples:\n"
            "  ovms-edge graph render --set device=GPU cache_size=4 max_num_seqs=1\n"
            "  ovms-edge graph render --set device=GPU cache_size=4 plugin_config.CACHE_DIR=/cache"
            " --output graph.pbtxt"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="FIELD=VALUE",
        help="an option of the graph; plugin_config.KEY and cache_eviction_config.FIELD reach into it",
    )
    add_version(parser)
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="replaced in one step (default: standard output)"
    )
    parser.set_defaults(run=_render)


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add ``--ovms-version``."""
    parser.add_argument(
        "--ovms-version",
        default=DEFAULT_OVMS_VERSION,
        metavar="VERSION",
        help=f"default: {DEFAULT_OVMS_VERSION}",
    )


def _render(options: argparse.Namespace) -> None:
    from ovms_edge.graph.render_command import run_render

    run_render(options.set, options.ovms_version, options.output)
