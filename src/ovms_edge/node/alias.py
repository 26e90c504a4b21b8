"""The alias under which applications in containers find the gateway.

Docker's names are of containers, and the gateway is a service of the host. So a container bears the name,
and in it the host's own HAProxy passes each connection on to the gateway's UNIX socket. It is never touched
by a switch. Its image holds a configuration and nothing else; programs and libraries are the host's /usr.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any

from ovms_edge.node.container import SPEC_LABEL
from ovms_edge.node.docker import Docker
from ovms_edge.node.gateway import SERVER_PORT, Apps
from ovms_edge.node.output import log

CONTAINER = "ovms-edge-alias"
_REPOSITORY = "ovms-edge-alias"
_SOCKET_DIRECTORY = "/gateway"
_MEMORY_BYTES = 64 << 20
_PIDS = 32
_NOBODY = "65534:65534"
_LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin"}


def ensure_alias(docker: Docker, apps: Apps | None) -> bool:
    """Make the container if it is missing or another; returns whether it had to be made or started."""
    if apps is None:
        return False
    archive = _archive(apps)
    image = f"{_REPOSITORY}:{hashlib.sha256(archive).hexdigest()[:12]}"
    body = _body(apps, image)
    spec = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    seen = docker.container(CONTAINER)
    same = seen is not None and (seen["Config"]["Labels"] or {}).get(SPEC_LABEL) == spec
    if same and seen and seen["State"]["Status"] == "running":
        return False
    if not same:
        log(f"making {CONTAINER}: applications on network {apps.network} find the gateway as {apps.alias}")
        if docker.image(image) is None:
            docker.import_image(image, archive)
        if seen is not None:
            docker.remove(CONTAINER)
        docker.create_container(CONTAINER, {**body, "Labels": {SPEC_LABEL: spec}})
    docker.start(CONTAINER)
    return True


def _configuration(apps: Apps) -> str:
    return f"""\
global
    maxconn 1024
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    retries 30
listen gateway
    bind :{SERVER_PORT}
    server gateway unix@{_SOCKET_DIRECTORY}/{apps.socket.name}
"""


def _archive(apps: Apps) -> bytes:
    """Return the image's one layer, the same bytes each time."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, target in _LINKS.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        text = _configuration(apps).encode()
        file = tarfile.TarInfo("haproxy.cfg")
        file.size, file.mode = len(text), 0o444
        archive.addfile(file, io.BytesIO(text))
    return stream.getvalue()


def _body(apps: Apps, image: str) -> dict[str, Any]:
    mounts = {"/usr": "/usr", str(apps.socket.parent): _SOCKET_DIRECTORY}
    return {
        "Image": image,
        "User": _NOBODY,
        # -W: a worker alone would be process 1 with no handler for SIGTERM, and hold up the host's shutdown
        "Cmd": ["/usr/sbin/haproxy", "-W", "-db", "-f", "/haproxy.cfg"],
        "HostConfig": {
            "Mounts": [
                {"Type": "bind", "Source": source, "Target": target, "ReadOnly": True}
                for source, target in mounts.items()
            ],
            "RestartPolicy": {"Name": "always"},
            "NetworkMode": apps.network,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "Memory": _MEMORY_BYTES,
            "MemorySwap": _MEMORY_BYTES,
            "PidsLimit": _PIDS,
        },
        "NetworkingConfig": {"EndpointsConfig": {apps.network: {"Aliases": [apps.alias]}}},
    }
