"""``ovms-node status``."""

from __future__ import annotations

import argparse

from ovms_edge.node.config import load_node_config
from ovms_edge.node.docker import Docker
from ovms_edge.node.facts import installed_gateway
from ovms_edge.node.gateway import GATEWAY_FILE
from ovms_edge.node.metrics import prometheus_text
from ovms_edge.node.node_status import node_status
from ovms_edge.node.options import Document, Parsers
from ovms_edge.node.texts import status_text


def add_commands(parsers: Parsers) -> None:
    """Add ``status``."""
    status = parsers.commands.add_parser("status", parents=[parsers.common], help="what serves")
    status.add_argument("--prometheus", action="store_true", help="as metrics, in Prometheus's text format")
    status.set_defaults(run=_status, text=status_text)


def _status(options: argparse.Namespace) -> Document:
    options.text = prometheus_text if options.prometheus else status_text
    gateway = installed_gateway(options.node_config.with_name(GATEWAY_FILE))
    return node_status(load_node_config(options.node_config), gateway, Docker())
