"""``ovms-node decommission``."""

from __future__ import annotations

import argparse

from ovms_edge.node.decommission import decommission
from ovms_edge.node.options import Document, Parsers, outlive_connection


def add_commands(parsers: Parsers) -> None:
    """Add ``decommission``."""
    parser = parsers.commands.add_parser(
        "decommission",
        parents=[parsers.common, parsers.changes],
        help="remove what we installed on this host, and nothing else",
    )
    parser.add_argument(
        "--keep-releases", action="store_true", help="leave the releases in the state directory"
    )
    parser.set_defaults(run=_decommission, text=_text)


def _decommission(options: argparse.Namespace) -> Document:
    if not options.check:
        outlive_connection()
    document = decommission(options.node_config, options.check, options.keep_releases, options.wait)
    return {**document, "check": True} if options.check else document


def _text(document: Document) -> str:
    if not document["removed"] and not document["left"]:
        return "there is nothing of ours on this host"
    would = "would be " if document.get("check") else ""
    lines = [f"{would}{entry['how']}: {entry['what']} {entry['name']}" for entry in document["removed"]]
    lines += [f"left: {entry['what']} {entry['name']}: {entry['why']}" for entry in document["left"]]
    return "\n".join(lines)
