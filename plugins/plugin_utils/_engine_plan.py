# SPDX-License-Identifier: Apache-2.0
"""What role ``docker_engine`` wants of a host's engine, from its inputs and the host's facts.

Private to this collection. Nothing here asks or changes a host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.ovms.edge.plugins.plugin_utils._input_checks import OLDEST_ENGINE, engine_version

ROLE = "docker_engine"
SOURCES_FILE = "/etc/apt/sources.list.d/ovms-edge-docker.sources"
DISTRIBUTIONS = "Debian 12 and 13 and Ubuntu 22.04 and 24.04"
# The engine first. Debian 13 has the client in a package of its own.
PACKAGES = {
    "debian_12": ("docker.io",),
    "debian_13": ("docker.io", "docker-cli"),
    "ubuntu_22.04": ("docker.io",),
    "ubuntu_24.04": ("docker.io",),
}
DOCKERS_PACKAGES = ("docker-ce", "docker-ce-cli", "containerd.io")
_SAME_VERSION = {"docker.io", "docker-cli", "docker-ce", "docker-ce-cli"}
# overlayfs is what engine 29 calls it in its containerd image store.
_DRIVERS = ("overlay2", "overlayfs")
# What overlayfs cannot have as its upper layer (kernel, filesystems/overlayfs.rst), or what forgets.
_NO_UPPER = re.compile(r"(nfs|cifs|smb|fuse|9p|vfat|exfat|ntfs|overlay|squashfs|ecryptfs|tmpfs|ramfs)")
_GIB = 2**30


@dataclass(frozen=True)
class Plan:
    """``packages`` as apt wants them named, ``selections`` of dpkg by package, ``notes`` for the operator."""

    packages: list[str]
    selections: dict[str, str]
    repository: bool
    reload: bool
    restart: bool
    notes: list[str]


def plan_of(inputs: Mapping[str, Any], facts: Mapping[str, Any]) -> Plan:
    """Return what to do; for a host that ``obstacles`` has nothing against."""
    docker = facts["docker"]
    source = docker["source"] or inputs["source"]
    names = _names(source, facts["os"])
    kept = docker["source"] not in (None, inputs["source"])
    packages = [] if kept else _packages(names, inputs["version"], docker)
    wanted = "hold" if inputs["hold"] else "install"
    held = {name: there["held"] for name, there in docker["packages"].items()}
    selections = {
        name: wanted
        for name in names
        if (packages and inputs["hold"]) or held.get(name, False) != inputs["hold"]
    }
    others = [path for path in docker["repositories"] if path != SOURCES_FILE]
    return Plan(
        packages=packages,
        selections={name: selection for name, selection in selections.items() if packages or name in held},
        repository=(source, inputs["source"]) == ("docker", "docker") and not others,
        reload=docker["running"] and not docker["live_restore"],
        restart=docker["outdated"],
        notes=list(_notes(inputs["source"], docker, others)),
    )


def _names(source: str, system: Mapping[str, str]) -> tuple[str, ...]:
    if source == "docker":
        return DOCKERS_PACKAGES
    return PACKAGES.get(_distribution(system), ()) if source == "distribution" else ()


def _distribution(system: Mapping[str, str]) -> str:
    return f"{system['id']}_{system['version_id']}"


def _packages(names: tuple[str, ...], version: str | None, docker: Mapping[str, Any]) -> list[str]:
    there = {name: found["version"] for name, found in docker["packages"].items()}
    lacking = [name for name in names if name not in there]
    if version is None:
        return lacking
    other = [name for name in names if name in _SAME_VERSION and there.get(name) != version]
    return [
        f"{name}={version}" if name in _SAME_VERSION else name for name in names if name in (*lacking, *other)
    ]


def _notes(wanted: str, docker: Mapping[str, Any], others: list[str]) -> Iterator[str]:
    source = docker["source"]
    if source not in (None, wanted):
        origin = {"docker": "from Docker", "distribution": "of the distribution"}.get(source, "of no package")
        yield (
            f"docker_engine_source is {wanted}, and the engine that is here is one {origin}: it is kept. "
            "To change it, remove its packages first; that ends what it serves"
        )
    elif wanted == "docker" and others:
        yield (
            f"apt has Docker's repository in {', '.join(others)} already: "
            "that is used, and no second one written"
        )


def obstacles(inputs: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    """Return why the role cannot do what the inputs want, a line each: what, why, what to do."""
    docker = facts["docker"]
    found = [
        _version(inputs, docker),
        _distribution_known(facts),
        _swarm(docker),
        _root(docker),
    ]
    found += [_driver(docker), _file_system(docker), _room(inputs["min_free_gib"], docker)]
    return [text for text in found if text]


def _version(inputs: Mapping[str, Any], docker: Mapping[str, Any]) -> str | None:
    source = docker["source"]
    if inputs["version"] is not None and source not in (None, inputs["source"]):
        return (
            f"docker_engine_version is {inputs['version']}, one of docker_engine_source {inputs['source']}, "
            f"and the engine that is here is of another source ({source}) and is kept; "
            "leave the version out for this host, or remove the engine's packages first"
        )
    there = docker["version"] or next((found["version"] for found in docker["packages"].values()), None)
    if there is None or inputs["version"] is not None or engine_version(there) >= OLDEST_ENGINE:
        return None
    oldest = ".".join(f"{part:02}" for part in OLDEST_ENGINE)
    return (
        f"Docker Engine {there} is older than {oldest}, and ovms-node needs API 1.41, which came with that; "
        "set docker_engine_version to a newer one that apt has (apt-cache madison docker.io docker-ce)"
    )


def _distribution_known(facts: Mapping[str, Any]) -> str | None:
    if facts["docker"]["installed"] or _distribution(facts["os"]) in PACKAGES:
        return None
    return (
        f"no Docker Engine on {facts['os']['name']}, and this role installs it on {DISTRIBUTIONS} only; "
        "install Docker Engine by hand and run again"
    )


def _swarm(docker: Mapping[str, Any]) -> str | None:
    if not docker["swarm"]:
        return None
    return (
        "the engine is in a swarm, and none in a swarm keeps its containers when it ends (live-restore); "
        "leave it (docker swarm leave) and run again"
    )


def _root(docker: Mapping[str, Any]) -> str | None:
    wanted, root = docker["disk"]["path"], docker["root"]
    if wanted == root or not docker["has_data"]:
        return None
    return (
        f"docker_engine_data_root is {wanted}, and the engine has images, containers or volumes in {root}, "
        f"which are not moved; set docker_engine_data_root to {root}, or move them as the README of role "
        "docker_engine says (Moving the data)"
    )


def _driver(docker: Mapping[str, Any]) -> str | None:
    if docker["driver"] in (None, *_DRIVERS) and docker["d_type"] is not False:
        return None
    lack = (
        "has no d_type"
        if docker["d_type"] is False
        else f"is used by storage driver {docker['driver']}, not overlay2"
    )
    return (
        f"{docker['root']}, on {docker['disk']['file_system']}, {lack}; put it on ext4, or on xfs made with "
        "ftype=1 (docker_engine_data_root), and remove storage-driver from /etc/docker/daemon.json"
    )


def _file_system(docker: Mapping[str, Any]) -> str | None:
    disk = docker["disk"]
    if docker["driver"] is not None and disk["path"] == docker["root"]:
        return None  # the engine that runs there has tried it
    if not _NO_UPPER.match(disk["file_system"] or ""):
        return None
    return (
        f"{disk['path']} is on {disk['file_system']}, which overlay2 cannot keep images on; "
        "set docker_engine_data_root to a directory on ext4 or xfs"
    )


def _room(min_free_gib: int, docker: Mapping[str, Any]) -> str | None:
    disk = docker["disk"]
    if docker["has_data"] or disk["free_bytes"] >= min_free_gib * _GIB:
        return None  # images that are there have taken their room
    return (
        f"no space on {disk['path']}: {min_free_gib} GiB needed for images, "
        f"{disk['free_bytes'] / _GIB:.1f} GiB free; free space, or set docker_engine_data_root to a larger "
        "disk, or lower docker_engine_min_free_gib"
    )
