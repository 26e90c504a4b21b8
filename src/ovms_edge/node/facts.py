"""``facts``: everything about this node in one call that reads only and is quick."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ovms_edge
from ovms_edge.errors import EdgeError
from ovms_edge.node.docker import Docker
from ovms_edge.node.gateway import Gateway, load_gateway
from ovms_edge.node.gpu import find_gpu
from ovms_edge.node.gpu_driver import find_driver
from ovms_edge.node.host import clock_synchronized, memory_bytes, os_release
from ovms_edge.node.output import log, utc_now
from ovms_edge.node.paths import StatePaths, existing_parent
from ovms_edge.node.releases import staged_releases
from ovms_edge.node.settings import parse_server_settings
from ovms_edge.node.slots import container_name
from ovms_edge.node.state import Deployment, load_state
from ovms_edge.ovms.client import OvmsClient

_QUICK_SECONDS = 0.3


def collect_facts(state_dir: Path, sysfs_root: Path, gateway_file: Path) -> dict[str, Any]:
    """Return the document of docs/contracts.md. Sizes in bytes; works with nothing installed."""
    paths = StatePaths(state_dir)
    total, available = memory_bytes()
    gpu = find_gpu(sysfs_root)
    state = load_state(paths.state)
    docker = Docker()
    gateway = installed_gateway(gateway_file)
    release = os_release()
    return {
        "ok": True,
        "schema": 2,
        "tool": {"version": ovms_edge.__version__},
        "os": {
            "id": release.get("ID", ""),
            "version_id": release.get("VERSION_ID", ""),
            "codename": release.get("VERSION_CODENAME", ""),
            "name": release.get("PRETTY_NAME", ""),
        },
        "kernel": platform.release(),
        "python": platform.python_version(),
        "memory": {"total_bytes": total, "available_bytes": available},
        "disk": disk_facts(state_dir),
        "clock": {"utc": utc_now(), "synchronized": clock_synchronized()},
        "gpu": asdict(gpu) | {"verdict": gpu.verdict} if gpu else None,
        "gpu_driver": asdict(find_driver(gpu.pci_address, sysfs_root)) if gpu and gpu.supported else None,
        "docker": _docker(docker),
        "releases": release_facts(paths),
        "active": _deployment(state.active),
        "previous": _deployment(state.previous),
        "server": server_facts(docker, gateway, state.active),
    }


def disk_facts(state_dir: Path) -> dict[str, Any]:
    """Return the state directory's disk, in bytes."""
    stat = os.statvfs(existing_parent(state_dir))
    return {
        "path": str(state_dir),
        "total_bytes": stat.f_blocks * stat.f_frsize,
        "free_bytes": stat.f_bavail * stat.f_frsize,
    }


def release_facts(paths: StatePaths) -> list[dict[str, Any]]:
    """Return each release that is complete here, with its size in bytes."""
    return [
        {"release": str(staged.manifest.ref), "bytes": staged.manifest.total_bytes}
        for staged in staged_releases(paths)
    ]


def installed_gateway(gateway_file: Path) -> Gateway | None:
    """Return the gateway, None on a host that has none yet, or whose settings the role has to mend."""
    if not gateway_file.exists():
        return None
    try:
        return load_gateway(gateway_file)
    except EdgeError as error:
        log(f"left out: {error}")
        return None


def server_facts(docker: Docker, gateway: Gateway | None, active: Deployment | None) -> dict[str, Any] | None:
    """Return container status, restarts, and what OVMS says of the servable; None if nothing is active."""
    if active is None:
        return None
    settings = parse_server_settings(active.settings)
    try:
        seen = docker.container(container_name(active.slot))
    except EdgeError:
        seen = None
    facts: dict[str, Any] = {"container": None, "restarts": None, "state": None, "error_code": None}
    if seen is None:
        return facts
    facts |= {"container": seen["State"]["Status"], "restarts": seen["RestartCount"]}
    if gateway is None:
        return facts
    try:
        entry = OvmsClient(gateway.server_url(active.slot), _QUICK_SECONDS).servables().get(settings.servable)
    except EdgeError:
        return facts
    return facts if entry is None else facts | {"state": entry.state, "error_code": entry.error_code}


def _docker(docker: Docker) -> dict[str, Any]:
    try:
        return {"installed": True, "running": True, "version": docker.version(_QUICK_SECONDS)["Version"]}
    except EdgeError:
        return {"installed": shutil.which("dockerd") is not None, "running": False, "version": None}


def _deployment(deployment: Deployment | None) -> dict[str, str] | None:
    if deployment is None:
        return None
    return {"release": deployment.release, "servable": deployment.servable, "since": deployment.since}
