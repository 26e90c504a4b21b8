"""The status of a node as it is now, and where monitoring reads it."""

from __future__ import annotations

from typing import Any

from ovms_edge.node.config import NodeConfig
from ovms_edge.node.context import Node
from ovms_edge.node.docker import Docker
from ovms_edge.node.facts import server_facts
from ovms_edge.node.gateway import Gateway
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.state import load_state
from ovms_edge.node.status_document import status_document, write_status


def node_status(config: NodeConfig, gateway: Gateway | None, docker: Docker) -> dict[str, Any]:
    """Return the document of ``status``. Reads only."""
    state = load_state(StatePaths(config.state_dir).state)
    server = server_facts(docker, gateway, state.active)
    return status_document(config, state, server, gateway.route() if gateway else None)


def publish_status(node: Node) -> None:
    """Write the status where monitoring reads it; what keeps it from that is logged."""
    write_status(node.config, lambda: node_status(node.config, node.gateway, node.docker))
