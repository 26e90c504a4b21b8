"""``decommission``: removes what we installed on this host, and nothing else.

Every step looks at what is there. Ended anywhere, the next call goes on; the record goes last.
"""

from __future__ import annotations

import grp
from contextlib import ExitStack
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.node.config import STATE_DIR, load_node_config
from ovms_edge.node.docker import Docker
from ovms_edge.node.installed import RECORD, Installed, load_installed
from ovms_edge.node.lock import exclusive
from ovms_edge.node.options import Document
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.removal import Removal, attempt, run
from ovms_edge.node.remove_containers import remove_containers
from ovms_edge.node.remove_files import (
    CONFIG_DIRECTORY,
    is_set_up,
    own_paths,
    remove_config,
    remove_directories,
    remove_paths,
    remove_state,
    restore_files,
)
from ovms_edge.node.remove_packages import remove_packages
from ovms_edge.node.status_document import METRICS_FILE
from ovms_edge.node.unfinished import Unfinished

_UNITS = Path("/etc/systemd/system")
_TRIAL = Path("/run/ovms-edge-trial")
_ELSEWHERE = (
    Path("/usr/local/lib/ovms-edge"),
    Path("/run/ovms-edge-gateway"),
    Path("/run/ovms-edge-baseline.pending"),
)
_UNFINISHED = "unfinished.json"
# No file of ours, but what reads one that we remove.
_READERS: dict[str, tuple[str, ...]] = {
    "/etc/systemd/system.conf.d/": ("daemon-reexec",),
    "/etc/systemd/journald.conf.d/": ("restart", "systemd-journald.service"),
    "/etc/systemd/timesyncd.conf.d/": ("try-restart", "systemd-timesyncd.service"),
    "/etc/chrony/": ("try-restart", "chrony.service"),
    "/etc/ssh/": ("try-reload-or-restart", "ssh.service"),
}
_UNRECORDED = "it is not on record what was there before: this host was set up by an earlier version"


def decommission(node_config: Path, check: bool, keep_releases: bool, wait_seconds: float) -> Document:
    """Remove everything; returns what went, and what stays and why."""
    removal, installed = Removal(check), load_installed(RECORD)
    state_dir, textfiles = _places(node_config)
    paths = StatePaths(state_dir)
    was_here, unfinished = is_set_up(), Unfinished(CONFIG_DIRECTORY / _UNFINISHED)
    _stop_units(removal)
    with ExitStack() as stack:
        # Whoever stages or switches ends first. Where nobody ever did, nothing is made that would have to go.
        for lock in (paths.lock, paths.serve_lock):
            if lock.exists() and not check:
                stack.enter_context(exclusive(lock, wait_seconds))
        engine_needed_by = remove_containers(removal, Docker(), paths, unfinished)
        remove_state(removal, state_dir, keep_releases)
    restore_files(removal, installed)
    metrics = [textfiles / METRICS_FILE] if textfiles else []
    own = own_paths([*_ELSEWHERE, *metrics])
    if not check:
        unfinished.note(readers=_readers(own))
    remove_paths(removal, own)
    if was_here and not check:
        _tell(unfinished.names("readers"))
    if was_here and not RECORD.exists():
        _leave_unrecorded(removal)
    remove_packages(removal, installed, engine_needed_by, unfinished)
    _restore_units(removal, installed)
    _restore_groups(removal, installed)
    remove_directories(
        removal, [*installed.directories, *([state_dir] if "ovms-edge" in state_dir.name else [])]
    )
    remove_config(removal)
    return removal.document


def _places(node_config: Path) -> tuple[Path, Path | None]:
    try:
        config = load_node_config(node_config)
    except EdgeError:
        return STATE_DIR, None
    return config.state_dir, config.textfile_directory


def _stop_units(removal: Removal) -> None:
    """Stop our units, timers before what they start; what has no file of its own too."""
    if (_TRIAL / "revert").exists() and removal.take("unit", "ovms-edge-revert.timer", "ended"):
        attempt("systemctl", "stop", "ovms-edge-revert.timer")
        attempt("sh", str(_TRIAL / "revert"))
    found = sorted(
        (path.name for path in _UNITS.glob("ovms-edge-*.*") if path.suffix in (".timer", ".service")),
        key=lambda name: not name.endswith(".timer"),
    )
    for name in (name for name in found if "site-cache" not in name):
        if removal.take("unit", name, "stopped"):
            run("systemctl", "disable", "--now", name)
    if not removal.check:
        attempt("systemctl", "stop", "ovms-edge-stage.service")
        attempt("systemctl", "reset-failed", "ovms-edge-*")


def _readers(paths: list[Path]) -> list[str]:
    """Return the places of ``paths`` that somebody reads settings from."""
    return [place for place in _READERS if any(str(path).startswith(place) for path in paths)]


def _tell(places: set[str]) -> None:
    """Have those read their settings again whom ours concerned."""
    attempt("systemctl", "daemon-reload")
    for place, command in _READERS.items():
        if place in places:
            attempt("systemctl", *command)


def _restore_units(removal: Removal, installed: Installed) -> None:
    for name, before in installed.units.items():
        for was, verb, query in (
            (before["enabled"], "disable", "is-enabled"),
            (before["active"], "stop", "is-active"),
        ):
            if not was and attempt("systemctl", query, "--quiet", name) and removal.take("unit", name, verb):
                attempt("systemctl", verb, name)


def _restore_groups(removal: Removal, installed: Installed) -> None:
    there = {group.gr_name: group.gr_gid for group in grp.getgrall()}
    for name, before in installed.groups.items():
        if name not in there or there[name] == before:
            continue
        if before is None and removal.take("group", name):
            run("groupdel", name)
        elif before is not None and removal.take("group", name, f"back to {before}"):
            run("groupmod", "--gid", str(before), name)


def _leave_unrecorded(removal: Removal) -> None:
    for path in ("/etc/docker/daemon.json", "/etc/docker/certs.d", "/root/.docker/config.json"):
        if Path(path).exists():
            removal.leave("file", path, _UNRECORDED)
    for name, program in (("docker.io", "/usr/bin/dockerd"), ("haproxy", "/usr/sbin/haproxy")):
        if Path(program).exists() or Path(program.replace("/usr/bin", "/usr/sbin")).exists():
            removal.leave("package", name, _UNRECORDED)
