"""Debian packages on the machine that carries the lab: only what is missing, and away again exactly those."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError

from . import files
from .console import Console
from .settings import Settings
from .shell import run, succeeds

_APT = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=600", "-o", "APT::Install-Recommends=false",
        "-o", "APT::Keep-Downloaded-Packages=false"]  # fmt: skip
_ENVIRONMENT = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}


@dataclass(frozen=True)
class Need:
    """A program that the lab calls and the packages that bring it."""

    program: str
    packages: tuple[str, ...]


def needs(base: str, docker_packages: tuple[str, ...]) -> list[Need]:
    """What the lab calls. ``base``: where base images come from (settings.BASES)."""
    listed = [
        Need("dockerd", docker_packages),
        Need("docker", docker_packages),
        Need("iptables", ("iptables",)),
        Need("ip", ("iproute2",)),
        Need("ssh", ("openssh-client",)),
        Need("openssl", ("openssl",)),
        Need("make", ("make",)),
    ]
    return [*listed, Need("mmdebstrap", ("mmdebstrap",))] if base == "mmdebstrap" else listed


def missing(settings: Settings) -> list[str]:
    """Packages to ask apt for, in a stable order."""
    packages = missing_for(needs(settings.base, _docker_packages()))
    # python3 -m venv wants the version's own package, which the unversioned name pulls in.
    if not succeeds([sys.executable, "-c", "import ensurepip"]):
        packages.append("python3-venv")
    if _apparmor_enabled() and shutil.which("apparmor_parser") is None:
        packages.append("apparmor")
    return list(dict.fromkeys(packages))


def missing_for(listed: Iterable[Need]) -> list[str]:
    """The packages of those programs that are not there, each once."""
    packages = (package for need in listed if shutil.which(need.program) is None for package in need.packages)
    return list(dict.fromkeys(packages))


def install(settings: Settings, packages: list[str], console: Console) -> None:
    """Install ``packages``; what apt brings along is on record before the first of it is unpacked."""
    if os.geteuid() != 0:
        raise EdgeError(f"missing on this machine: {' '.join(packages)}", "run this as root, or install them")
    console.say(f"installing {' '.join(packages)}")
    log = settings.logs / "apt.log"
    planned = _plan(packages)
    if planned is None:
        run([*_APT, "update"], log=settings.logs / "apt-update.log", environment=_ENVIRONMENT)
        planned = _plan(packages)
    if planned is None:
        raise EdgeError(
            f"apt cannot install {' '.join(packages)}",
            f"see what `apt-get install {' '.join(packages)}` says and mend the package sources",
        )
    record = files.read_json(_record(settings))
    record["packages"] = sorted({*record.get("packages", []), *planned})
    files.write_json(_record(settings), record)
    try:
        run([*_APT, "install", *packages], log=log, environment=_ENVIRONMENT)
    except EdgeError:
        # Lists older than the mirror name files that are gone.
        run([*_APT, "update"], log=settings.logs / "apt-update.log", environment=_ENVIRONMENT)
        run([*_APT, "install", *packages], log=log, environment=_ENVIRONMENT)


def installed_by_lab(settings: Settings) -> list[str]:
    return list(files.read_json(_record(settings)).get("packages", []))


def purge(settings: Settings) -> list[str]:
    """Remove what the lab installed, but what something else came to depend on. Returns what stayed."""
    present = _present(installed_by_lab(settings))
    if present:
        # dpkg, not apt: it never takes more than it is told.
        succeeds(["dpkg", "--purge", *present])
    return _present(present)


def _record(settings: Settings) -> Path:
    return settings.home / "host" / "packages.json"


def _plan(packages: list[str]) -> list[str] | None:
    """What apt would newly install, or None if it cannot (no package lists yet)."""
    try:
        output = run([*_APT, "--simulate", "install", *packages], environment=_ENVIRONMENT)
    except EdgeError:
        return None
    return parse_plan(output)


def parse_plan(output: str) -> list[str]:
    """What ``apt-get --simulate install`` would newly install (an upgrade names the old version in [])."""
    return sorted(re.findall(r"^Inst (\S+) \(", output, flags=re.MULTILINE))


def _present(packages: list[str]) -> list[str]:
    if not packages:
        return []
    known = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"])
    here = {line.split()[0] for line in known.splitlines() if not line.endswith(" not-installed")}
    return [package for package in packages if package in here]


def _docker_packages() -> tuple[str, ...]:
    """Debian 12's docker.io holds the client; from Debian 13 on it is a package of its own."""
    version = platform.freedesktop_os_release().get("VERSION_ID", "")
    return ("docker.io",) if version == "12" else ("docker.io", "docker-cli")


def _apparmor_enabled() -> bool:
    switch = Path("/sys/module/apparmor/parameters/enabled")
    return switch.is_file() and switch.read_text().strip() == "Y"
