"""The Docker networks: one for OVMS with no way out, one on which applications find the gateway."""

from __future__ import annotations

from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.docker import Docker
from ovms_edge.node.gateway import Gateway

NETWORK_LABEL = "ovms-edge.network"
MASQUERADE_OPTION = "com.docker.network.bridge.enable_ip_masquerade"


def server_network(gateway: Gateway) -> dict[str, Any]:
    """Return the body of ``POST /networks/create`` for OVMS: this host reaches it, and it reaches nobody.

    OVMS 2025.4.1 fetches any image URL that a request names, and cannot be told not to.
    """
    return {
        "Name": gateway.network,
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Internal": True,
        "IPAM": {"Config": [{"Subnet": gateway.subnet}]},
        "Labels": {NETWORK_LABEL: "1"},
    }


def apps_network(name: str) -> dict[str, Any]:
    """Return the body for applications: a bridge that does not masquerade."""
    return {
        "Name": name,
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Options": {MASQUERADE_OPTION: "false"},
        "Labels": {NETWORK_LABEL: "1"},
    }


def ensure_networks(docker: Docker, gateway: Gateway) -> None:
    """Make the networks that are missing; raises EdgeError for one that is not as it must be."""
    found = docker.network(gateway.network)
    if found is None:
        docker.create_network(server_network(gateway))
    else:
        _require(found["Internal"], gateway.network, "lets containers out, and OVMS fetches any URL")
        subnets = [entry.get("Subnet") for entry in found["IPAM"]["Config"] or ()]
        _require(
            gateway.subnet in subnets,
            gateway.network,
            f"has the subnet {', '.join(map(str, subnets)) or 'none'}, the gateway expects {gateway.subnet}",
        )
    if gateway.apps and docker.network(gateway.apps.network) is None:
        docker.create_network(apps_network(gateway.apps.network))


def _require(good: bool, name: str, what: str) -> None:
    if not good:
        raise EdgeError(
            f"Docker network {name} {what}",
            f"remove it with what is in it (docker network inspect {name}; docker network rm {name})",
        )
