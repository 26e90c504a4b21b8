"""``ovms-node stage``."""

from __future__ import annotations

import argparse

from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.config import load_node_config
from ovms_edge.node.lock import exclusive
from ovms_edge.node.options import Document, Parsers, outlive_connection
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.stage import apply_stage, plan_stage
from ovms_edge.node.texts import change_text


def add_commands(parsers: Parsers) -> None:
    """Add ``stage``."""
    parents = [parsers.common, parsers.changes]
    stage = parsers.commands.add_parser("stage", parents=parents, help="fetch and verify a release")
    stage.add_argument("release", metavar="NAME@VERSION")
    stage.add_argument("--verify", action="store_true", help="read every byte of what is here already")
    stage.set_defaults(run=_stage, text=change_text)


def _stage(options: argparse.Namespace) -> Document:
    config, ref = load_node_config(options.node_config), ReleaseRef.parse(options.release)
    if options.check:
        return {**plan_stage(config, ref, options.verify).document, "check": True}
    outlive_connection()
    with exclusive(StatePaths(config.state_dir).lock, options.wait):
        plan = plan_stage(config, ref, options.verify)
        apply_stage(config, plan)
    return plan.document
