"""``ovms-edge graph render | check | explain``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ovms_edge.errors import UsageError
from ovms_edge.graph.check_command import add_check
from ovms_edge.graph.files import output_file
from ovms_edge.memory_command import gib_argument
from ovms_edge.ovms.fields import DEFAULT_OVMS_VERSION

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_group(groups: Subparsers) -> None:
    """Add ``graph`` and its commands."""
    group = groups.add_parser("graph", help="render, check, mend and explain graph.pbtxt")
    commands = group.add_subparsers(metavar="COMMAND", required=True)
    _add_render(commands)
    add_check(commands)
    _add_explain(commands)


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
        "--output", type=output_file, metavar="FILE", help="replaced in one step (default: standard output)"
    )
    parser.set_defaults(run=_render)


def _add_explain(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "explain",
        help="say what every option is, where that comes from and what it means",
        description=(
            "Print every option that the OVMS version has: its value, the line or default that it comes from,"
            " and what it means for this model on this host."
        ),
        epilog=(
            "examples:\n"
            "  ovms-edge graph explain models/Qwen/Qwen2.5-VL-7B-Instruct-ov-int8 --host-gib 31\n"
            "  ovms-edge graph explain graph.pbtxt --ovms-version 2026.3 --json"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", type=Path, metavar="FILE|DIR", help="a graph, or the directory that holds it")
    add_version(parser)
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="the exported model (default: what lies beside the graph)"
    )
    parser.add_argument(
        "--host-gib", type=gib_argument, metavar="N", help="MemTotal of the host: adds the sum"
    )
    parser.add_argument("--discrete", action="store_true", help="the GPU has its own memory, see --gpu-gib")
    parser.add_argument("--gpu-gib", type=gib_argument, metavar="N", help="memory of the discrete GPU")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.set_defaults(run=_explain)


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


def _explain(options: argparse.Namespace) -> None:
    from ovms_edge.graph.explain_command import host_memory, run_explain

    if options.discrete != (options.gpu_gib is not None):
        raise UsageError("--discrete and --gpu-gib belong together", "give both, or none")
    run_explain(
        options.path,
        options.ovms_version,
        options.model,
        host_memory(options.host_gib, options.gpu_gib),
        as_json=options.json,
    )
