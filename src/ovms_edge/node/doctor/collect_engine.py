"""Evidence of Docker Engine and the containers, and of OVMS past the gateway."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.alias import CONTAINER as ALIAS_CONTAINER
from ovms_edge.node.docker import Docker
from ovms_edge.node.doctor.evidence import EngineEvidence, ServerEvidence
from ovms_edge.node.gate import logged_devices
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
        devices, said, gpu_errors = _log(docker, active, containers)
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
        devices,
        said,
        gpu_errors,
    )


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


def _log(
    docker: Docker, active: Deployment | None, containers: Mapping[str, Mapping[str, Any] | None]
) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Return the devices that OVMS logged, its last error, and what it said of the GPU."""
    name = container_name(active.slot) if active else ""
    seen = containers.get(name)
    if active is None or seen is None or not str(seen["State"]["StartedAt"]).startswith("2"):
        return (), "", ()
    started = str(seen["State"]["StartedAt"])
    devices = logged_devices(docker, name, started)
    if not devices and active.container_started == started:
        devices = active.devices  # the log was rotated since
    lines = list(docker.log_lines(name, tail=str(_LOG_LINES)))
    return devices, last_error(lines), tuple(_matching(lines))


def _matching(lines: Iterable[str]) -> Iterable[str]:
    return (line.strip() for line in lines if _GPU_ERROR.search(line))
