"""Evidence of Docker Engine and the containers, and of OVMS past the gateway."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.alias import CONTAINER as ALIAS_CONTAINER
from ovms_edge.node.devices import logged_devices
from ovms_edge.node.docker import Docker
from ovms_edge.node.doctor.evidence import EngineEvidence, LogEvidence, ServerEvidence
from ovms_edge.node.gateway import Gateway
from ovms_edge.node.images import local_image
from ovms_edge.node.own_words import last_error
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.slots import SLOTS, container_name
from ovms_edge.node.state import Deployment
from ovms_edge.ovms.client import OvmsClient

_ANSWER_SECONDS = 1.5
_LOG_LINES = 500
# What the GPU plugin and its driver throw where memory or the GPU itself gave up (openvino 2025.4.1,
# src/plugins/intel_gpu; OpenCL's names of its errors).
_GPU_ERROR = re.compile(r"CL_OUT_OF_(RESOURCES|HOST_MEMORY)|Exceeded max size of memory object|clFinish")


def engine_evidence(
    docker: Docker, gateway: Gateway | None, active: Deployment | None, paths: StatePaths | None
) -> EngineEvidence:
    """Return what the engine says of itself, of our containers, and of the image and network they need."""
    installed = shutil.which("dockerd") is not None
    try:
        info = docker.info()
        names = (*(container_name(slot) for slot in SLOTS), ALIAS_CONTAINER)
        containers = {name: docker.container(name) for name in names}
        image = _image(docker, active, paths)
        network = docker.network(gateway.network) if gateway else None
    except EdgeError as error:
        return EngineEvidence(installed, error)
    return EngineEvidence(
        True,
        None,
        str(info.get("ServerVersion", "")),
        bool(info.get("LiveRestoreEnabled", True)),
        containers,
        image,
        network,
    )


def log_evidence(docker: Docker, active: Deployment) -> LogEvidence:
    """Return what the log of the active container says; nothing if it cannot be read.

    Apart from ``engine_evidence``: a log of many MiB takes long, and then it alone is missing.
    """
    name = container_name(active.slot)
    try:
        seen = docker.container(name)
        started = str(seen["State"]["StartedAt"]) if seen else ""
        if not started.startswith("2"):  # Docker's year 1: never
            return LogEvidence()
        lines = list(docker.log_lines(name, tail=str(_LOG_LINES)))
        devices = logged_devices(docker, name, started)
    except EdgeError:
        return LogEvidence()
    if not devices and active.container_started == started:
        devices = active.devices  # the log was rotated since
    return LogEvidence(devices, last_error(lines), tuple(_matching(lines)))


def server_evidence(url: str) -> ServerEvidence:
    """Return what OVMS at ``url`` answers."""
    client = OvmsClient(url, _ANSWER_SECONDS)
    try:
        return ServerEvidence(None, client.servables(), tuple(client.models()))
    except EdgeError as error:
        return ServerEvidence(error)


def _image(docker: Docker, active: Deployment | None, paths: StatePaths | None) -> dict[str, Any] | None:
    if active is None or paths is None:
        return None
    known = local_image(docker, paths, str(active.settings.get("image")))
    return docker.image(known) if known else None


def _matching(lines: Iterable[str]) -> Iterable[str]:
    return (line.strip() for line in lines if _GPU_ERROR.search(line))
