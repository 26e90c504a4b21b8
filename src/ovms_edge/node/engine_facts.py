"""Docker Engine on this host: where it comes from, what it does at its end, and where its data is."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.docker import Docker
from ovms_edge.node.dpkg import installed_stanzas
from ovms_edge.node.paths import existing_parent, free_bytes

_QUICK_SECONDS = 0.3
_INFO_SECONDS = 5.0  # it counts containers and images
_DEFAULT_ROOT = "/var/lib/docker"

# By the package that dockerd is in; the others come with it.
_SOURCES = {"docker.io": "distribution", "docker-ce": "docker"}
_PACKAGES = (*_SOURCES, "docker-cli", "docker-ce-cli", "containerd.io")
_REPOSITORY = re.compile(r"^[^#\n]*docker\S*/linux/(debian|ubuntu)", re.MULTILINE | re.IGNORECASE)


def engine_facts(docker: Docker, wanted_root: Path | None = None, host: Path = Path("/")) -> dict[str, Any]:
    """Return ``docker`` of the facts. ``wanted_root`` is where the data should be, None for where it is.

    Sizes in bytes. ``host`` is the root directory of what is looked at.
    """
    try:
        version = docker.version(_QUICK_SECONDS)["Version"]
        info: dict[str, Any] = docker.info(_INFO_SECONDS)
    except EdgeError:
        version, info = None, {}
    packages = packages_in(_text(host / "var/lib/dpkg/status"))
    installed = version is not None or shutil.which("dockerd") is not None
    root = info.get("DockerRootDir") or _configured_root(host) or _DEFAULT_ROOT
    disk = os.path.realpath(wanted_root or root)
    return {
        "installed": installed,
        "running": version is not None,
        "version": version,
        "source": next(
            (_SOURCES[name] for name in _SOURCES if name in packages), "other" if installed else None
        ),
        "packages": packages,
        "repositories": _repositories(host),
        "outdated": version is not None and _is_replaced(host),
        "live_restore": info.get("LiveRestoreEnabled"),
        "swarm": info.get("Swarm", {}).get("LocalNodeState", "inactive") != "inactive",
        "proxy": (host / "etc/docker/ovms-edge-proxy.env").exists(),
        "root": os.path.realpath(root),
        "has_data": has_data(Path(root)),
        "driver": info.get("Driver"),
        "d_type": d_type(info),
        "disk": {
            "path": disk,
            "file_system": file_system(Path(disk), _text(host / "proc/self/mountinfo")),
            "free_bytes": free_bytes(Path(disk)),
        },
    }


def packages_in(status: str) -> dict[str, dict[str, Any]]:
    """Return version and hold of each of the engine's packages that dpkg's ``status`` has as installed."""
    return {
        fields["Package"]: {"version": fields["Version"], "held": fields["Status"].startswith("hold ")}
        for fields in installed_stanzas(status, only=_PACKAGES)
    }


def has_data(root: Path) -> bool:
    """Whether a data root has an image, a container or a volume."""
    for directory in (root / kind for kind in ("overlay2", "vfs/dir", "containers", "volumes")):
        if not directory.is_dir():
            continue
        # What the engine makes itself: short links to layers, its list of volumes
        if any(entry.is_dir() and entry.name != "l" for entry in directory.iterdir()):
            return True
    return False


def d_type(info: dict[str, Any]) -> bool | None:
    """Return whether the file system below overlay2 says what an entry of a directory is; None: not told."""
    told = dict(info.get("DriverStatus") or []).get("Supports d_type")
    return None if told is None else told == "true"


def file_system(path: Path, mounts: str) -> str | None:
    """Return the type of file system that ``path`` is on or would be, by the text of mountinfo."""
    place, best, found = existing_parent(path), -1, None
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        mounted = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), left.split()[4]))
        # of two at one place the later one is on top
        if place.is_relative_to(mounted) and len(mounted.parts) >= best:
            best, found = len(mounted.parts), right.split()[0]
    return found


def _is_replaced(host: Path) -> bool:
    """Whether the engine that runs is not the one on the disk: Debian's upgrades leave it running."""
    try:
        process = int(_text(host / "run/docker.pid"))
        return str((host / f"proc/{process}/exe").readlink()).endswith(" (deleted)")
    except (OSError, ValueError):
        return False


def _configured_root(host: Path) -> str | None:
    try:
        configured = json.loads(_text(host / "etc/docker/daemon.json") or "{}").get("data-root")
    except (ValueError, AttributeError):
        return None  # role docker_engine says so when it is to write the file
    return configured if isinstance(configured, str) else None


def _repositories(host: Path) -> list[str]:
    """Return the lists of apt sources that have Docker's repository, or a mirror of it."""
    directory = host / "etc/apt"
    lists = [directory / "sources.list", *sorted((directory / "sources.list.d").glob("*"))]
    return [
        str(path)
        for path in lists
        if path.suffix in (".list", ".sources") and _REPOSITORY.search(_text(path))
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
