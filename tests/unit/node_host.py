"""A host to decommission: real files below a directory; commands, packages and an engine are pretended.

Everything that changes it counts as an effect, and the power may go before any of them.
"""

from __future__ import annotations

import grp
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils import _record_program
from ovms_edge.node import decommission as decommission_module
from ovms_edge.node import remove_engine, remove_files, remove_packages
from ovms_edge.node.docker import EngineLostError
from tests.unit.node_engine import PowerCutError

_ENGINE = ("docker.io", "containerd", "runc")
_READERS = {
    "/etc/systemd/journald.conf.d/": "systemd-journald.service",
    "/etc/ssh/": "ssh.service",
    "/etc/systemd/system.conf.d/": "daemon-reexec",
}


@dataclass
class Package:
    """``wanted``: of itself, not only since others need it. ``service``: what runs on even without it."""

    needs: tuple[str, ...] = ()
    wanted: bool = False
    state: str = "installed"
    service: str = ""


@dataclass
class Host:
    """``effects``: what changed it, in order; before the one with the number ``cut_at`` the power goes."""

    root: Path
    packages: dict[str, Package] = field(default_factory=dict)
    units: dict[str, dict[str, bool]] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    users: set[str] = field(default_factory=set)
    containers: list[dict[str, Any]] = field(default_factory=list)
    all_images: dict[str, list[str]] = field(default_factory=dict)
    all_networks: list[str] = field(default_factory=list)
    owners: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    dpkg_cut_off: bool = False
    effects: list[str] = field(default_factory=list)
    cut_at: int | None = None

    def effect(self, what: str) -> None:
        if self.cut_at == len(self.effects):
            raise PowerCutError(what)
        self.effects.append(what)

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def write(self, name: str, data: bytes | str = b"", owner: tuple[int, int] = (0, 0)) -> Path:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        self.owners[identity(path)] = owner
        return path

    def install(self, name: str, **of: Any) -> None:
        self.packages[name] = Package(**of)
        self.write_status()

    def write_status(self) -> None:
        words = {"installed": "install ok installed", "config-files": "purge ok config-files"}
        stanzas = [
            f"Package: {name}\nStatus: {words[found.state]}\n" for name, found in self.packages.items()
        ]
        self.path("/var/lib/dpkg/status").write_text("\n".join(stanzas))

    def picture(self) -> dict[str, Any]:
        """Return all that may be seen of it."""
        files = {}
        for directory, names, others in os.walk(self.root):
            for path in (Path(directory, name) for name in (*names, *others)):
                mode = stat.filemode(path.lstat().st_mode)
                content = (
                    None if path.is_dir() else (path.read_bytes(), self.owners.get(identity(path), (0, 0)))
                )
                files[str(path.relative_to(self.root))] = (mode, content)
        del files["var/lib/dpkg/status"]
        running = {name: unit for name, unit in self.units.items() if any(unit.values())}
        return {
            "files": files,
            "packages": {name: found.state for name, found in self.packages.items()},
            "units": json.loads(json.dumps(running)),
            "groups": dict(self.groups),
            "users": set(self.users),
            "unread": set(self.unread),
            "engine": [str(self.containers), dict(self.all_images), list(self.all_networks)],
        }

    # What ovms-node asks of Docker Engine.

    def containers_or_lost(self) -> list[dict[str, Any]]:
        if self.packages.get("docker.io", Package(state="")).state != "installed":
            raise EngineLostError("no Docker Engine", "start it")
        return list(self.containers)

    @property
    def docker(self) -> Any:
        return SimpleNamespace(
            containers=self.containers_or_lost,
            images=lambda: [
                {"Id": name, "RepoTags": list(tags) or None, "RepoDigests": None}
                for name, tags in self.all_images.items()
            ],
            networks=lambda: [
                {"Name": name, "Id": name, "Labels": {"ovms-edge.network": "1"}} for name in self.all_networks
            ],
            network=lambda name: {"Containers": {}},
            volumes=list,
            remove=self._remove_container,
            remove_network=self._remove_network,
            remove_image=self._remove_image,
        )

    def _remove_container(self, name: str) -> None:
        self.effect(f"docker rm {name}")
        self.containers = [one for one in self.containers if one["Id"] != name]

    def _remove_network(self, name: str) -> None:
        self.effect(f"docker network rm {name}")
        self.all_networks.remove(name)

    def _remove_image(self, name: str) -> None:
        self.effect(f"docker rmi {name}")
        for image, tags in list(self.all_images.items()):
            if name in tags:
                tags.remove(name)
                if not tags:
                    del self.all_images[image]
            elif name == image:
                del self.all_images[image]

    # Commands.

    def run(self, command: list[str] | tuple[str, ...], **_: Any) -> subprocess.CompletedProcess[str]:
        program, *words = command
        try:
            said = getattr(self, f"_{program.replace('-', '_')}")(*words)
        except subprocess.CalledProcessError as error:
            return subprocess.CompletedProcess(command, error.returncode, "", error.stderr or "")
        return subprocess.CompletedProcess(command, 0, said or "", "")

    def _systemctl(self, verb: str, *words: str) -> str:
        if verb == "list-units":
            return "".join(
                f"{name} not-found active running\n"
                for name, unit in self.units.items()
                if unit["active"] and not self._has_file(name)
            )
        name = words[-1] if words else verb
        unit = self.units.get(name, {"enabled": False, "active": False})
        if verb in ("is-enabled", "is-active"):
            if not unit[verb.removeprefix("is-")]:
                fail(1)
            return ""
        self.effect(f"systemctl {verb} {' '.join(words)}".rstrip())
        if verb in ("disable", "stop"):
            unit["enabled"] &= verb != "disable"
            unit["active"] &= verb != "stop" and "--now" not in words
        elif verb in ("restart", "try-restart", "try-reload-or-restart", "daemon-reexec"):
            self.unread.discard(name)
        return ""

    def _has_file(self, unit: str) -> bool:
        by_package = any(
            found.service == unit for found in self.packages.values() if found.state == "installed"
        )
        return by_package or self.path(f"/etc/systemd/system/{unit}").exists()

    def _apt_get(self, *words: str) -> str:
        verb, *names = [word for word in words if not word.startswith("--")]
        if verb == "check":
            if self.dpkg_cut_off:
                fail(100)
            return ""
        if verb == "autoremove":
            gone = {*self._with(names), *self._unneeded(self._with(names))}
        else:
            gone = self._with(names)
        if "--simulate" in words:
            return "".join(f"Purg {name}\n" for name in gone)
        if self.dpkg_cut_off:
            fail(100, "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'")
        self.dpkg_cut_off = True
        for name in sorted(gone, key=list(self.packages).index, reverse=True):
            self.effect(f"dpkg --remove {name}")
            self.packages[name].state = "config-files"
            self.write_status()
            self.effect(f"dpkg --purge {name}")
            del self.packages[name]
            self.write_status()
        self.dpkg_cut_off = False
        return ""

    def _with(self, names: list[str]) -> set[str]:
        gone = {name for name in names if name in self.packages}
        while more := {name for name, found in self.packages.items() if gone & set(found.needs)} - gone:
            gone |= more
        return gone

    def _unneeded(self, gone: set[str]) -> set[str]:
        stay = {name for name, found in self.packages.items() if found.wanted and name not in gone}
        while (
            more := {need for name in stay for need in self.packages[name].needs if need not in gone} - stay
        ):
            stay |= more
        return {name for name, found in self.packages.items() if found.state == "installed"} - stay - gone

    def _dpkg(self, *words: str) -> None:
        self.effect(f"dpkg {' '.join(words)}")
        self.dpkg_cut_off = False

    def _getent(self, database: str, name: str) -> None:
        if name not in (self.users if database == "passwd" else self.groups):
            fail(2)

    def _userdel(self, name: str) -> None:
        self.effect(f"userdel {name}")
        self.users.remove(name)

    def _groupdel(self, name: str) -> None:
        self.effect(f"groupdel {name}")
        del self.groups[name]

    def _groupmod(self, option: str, number: str, name: str) -> None:
        self.effect(f"groupmod {option} {number} {name}")
        self.groups[name] = int(number)

    # Files.

    def guarded(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of ``os`` that counts as an effect, and touches nothing outside of the host."""

        def function(path: Any, *others: Any, **options: Any) -> Any:
            if name == "open" and not others[0] & os.O_CREAT:
                return real(path, *others, **options)
            where = resolved(path, options.get("dir_fd") or options.get("src_dir_fd"))
            assert where.is_relative_to(self.root), f"{name} {where}"
            self.effect(f"{name} {where.relative_to(self.root)}")
            if name in ("chown", "fchown"):
                self.owners[identity(where)] = others[:2]
                return None
            if name == "unlink":
                self.owners.pop(identity(where), None)
                self._no_longer_read(where)
            done = real(path, *others, **options)
            if name == "open":
                self.owners.setdefault(identity(where), (0, 0))
            return done

        return function

    def _no_longer_read(self, path: Path) -> None:
        self.unread |= {who for place, who in _READERS.items() if path.is_relative_to(self.path(place))}


def identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def resolved(path: Any, directory: int | None) -> Path:
    if isinstance(path, int):
        return Path(f"/proc/self/fd/{path}").readlink()
    return Path(path) if directory is None else Path(f"/proc/self/fd/{directory}").readlink() / path


def fail(status: int, said: str = "") -> None:
    raise subprocess.CalledProcessError(status, (), stderr=said)


def pretend(host: Host, patch: pytest.MonkeyPatch) -> None:
    """Have the node tool, and what keeps the record, see ``host`` and nothing else."""
    config = host.path("/etc/ovms-edge")
    for module in (decommission_module, remove_files):
        patch.setattr(module, "CONFIG_DIRECTORY", config)
    patch.setattr(decommission_module, "RECORD", config / "record")
    patch.setattr(decommission_module, "STATE_DIR", host.path("/nowhere"))
    for name in ("_UNITS", "_TRIAL"):
        patch.setattr(decommission_module, name, host.path(str(getattr(decommission_module, name))))
    places = tuple(host.path(str(path)) for path in decommission_module._ELSEWHERE)
    patch.setattr(decommission_module, "_ELSEWHERE", places)
    readers = {f"{host.root}{place}": words for place, words in decommission_module._READERS.items()}
    patch.setattr(decommission_module, "_READERS", readers)
    patch.setattr(decommission_module, "Docker", lambda: host.docker)
    patch.setattr(remove_files, "_ETC", host.path("/etc"))
    patch.setattr(remove_files, "TOOL", host.path("/usr/local/bin/ovms-node"))
    patch.setattr(remove_packages, "DPKG_STATUS", host.path("/var/lib/dpkg/status"))
    patch.setattr(_record_program, "DPKG_STATUS", host.path("/var/lib/dpkg/status"))
    for name in ("_DATA", "_MADE"):
        places = tuple(host.path(str(path)) for path in getattr(remove_engine, name))
        patch.setattr(remove_engine, name, places)
    patch.setattr(remove_engine, "_BRIDGE", "no-such-interface")
    patch.setattr(shutil, "which", lambda program: None)
    patch.setattr(subprocess, "run", host.run)
    groups = lambda: [SimpleNamespace(gr_name=name, gr_gid=gid) for name, gid in host.groups.items()]  # noqa: E731
    patch.setattr(grp, "getgrall", groups)


def guard(host: Host, patch: pytest.MonkeyPatch) -> None:
    """Have every change of a file count, from now on."""
    for name in ("unlink", "rmdir", "rename", "replace", "mkdir", "chmod", "chown", "fchown", "open"):
        patch.setattr(os, name, host.guarded(name, getattr(os, name)))
