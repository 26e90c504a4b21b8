"""What every command that touches the server works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ovms_edge.node.config import NodeConfig, load_node_config
from ovms_edge.node.docker import Docker
from ovms_edge.node.gateway import GATEWAY_FILE, Gateway, load_gateway
from ovms_edge.node.paths import StatePaths


@dataclass(frozen=True)
class Node:
    """A store node as its tool sees it: settings, gateway, engine."""

    config: NodeConfig
    gateway: Gateway
    docker: Docker

    @property
    def paths(self) -> StatePaths:
        """Where its state lies."""
        return StatePaths(self.config.state_dir)


def load_node(node_config: Path) -> Node:
    """Read ``node.json`` and the ``gateway.json`` beside it; raises EdgeError."""
    gateway = load_gateway(node_config.with_name(GATEWAY_FILE))
    return Node(load_node_config(node_config), gateway, Docker())
