"""``ovms-node facts``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ovms_edge.node.config import STATE_DIR, SYSFS_ROOT, load_node_config
from ovms_edge.node.facts import collect_facts
from ovms_edge.node.gateway import GATEWAY_FILE
from ovms_edge.node.options import Document, Parsers
from ovms_edge.node.texts import facts_text


def add_commands(parsers: Parsers) -> None:
    """Add ``facts``."""
    facts = parsers.commands.add_parser("facts", parents=[parsers.common], help="what this node is and has")
    facts.add_argument("--sysfs-root", type=Path, metavar="DIR")
    facts.add_argument("--state-dir", type=Path, metavar="DIR")
    facts.add_argument("--docker-root", type=Path, metavar="DIR")
    facts.set_defaults(run=_facts, text=facts_text)


def _facts(options: argparse.Namespace) -> Document:
    config = load_node_config(options.node_config) if options.node_config.exists() else None
    state_dir = options.state_dir or (config.state_dir if config else STATE_DIR)
    sysfs_root = options.sysfs_root or (config.sysfs_root if config else SYSFS_ROOT)
    return collect_facts(
        state_dir, sysfs_root, options.node_config.with_name(GATEWAY_FILE), options.docker_root
    )
