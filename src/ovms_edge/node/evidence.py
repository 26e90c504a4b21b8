"""What a container leaves behind that did not pass the gate."""

from __future__ import annotations

from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.docker import Docker
from ovms_edge.node.gate import log_tail
from ovms_edge.node.host import memory_bytes


def evidence(docker: Docker, container: str) -> dict[str, Any]:
    """Return the end of its log, and its memory and the host's, in bytes; what cannot be had is None."""
    return {"log_tail": log_tail(docker, container), "memory": _memory(docker, container)}


def _memory(docker: Docker, container: str) -> dict[str, Any]:
    total, available = memory_bytes()
    memory: dict[str, Any] = {"host_total_bytes": total, "host_available_bytes": available}
    try:
        seen = docker.container(container)
        if seen is None:
            return memory
        running = seen["State"]["Status"] == "running"
        return {
            **memory,
            "container_bytes": docker.memory_bytes(container) if running else None,
            "container_limit_bytes": seen["HostConfig"].get("Memory"),
            "oom_killed": seen["State"].get("OOMKilled", False),
        }
    except EdgeError:
        return memory
