"""Takes away the packages that the roles installed, and what came with those alone."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.node.dpkg import installed_stanzas, known_stanzas
from ovms_edge.node.installed import Installed
from ovms_edge.node.removal import Removal, attempt, run
from ovms_edge.node.remove_engine import is_engine, remove_engine_rest
from ovms_edge.node.unfinished import Unfinished

DPKG_STATUS = Path("/var/lib/dpkg/status")
# Users and groups of the same name that packages leave behind when they are purged.
_LEFT_BEHIND = {
    "docker.io": "docker",
    "haproxy": "haproxy",
    "chrony": "_chrony",
    "systemd-timesyncd": "systemd-timesync",
}
_TIME_DAEMONS = frozenset({"systemd-timesyncd", "chrony", "ntpsec"})


def installed_packages(status: str) -> set[str]:
    """Return the names of the packages that dpkg's ``status`` says are installed."""
    return {fields["Package"] for fields in installed_stanzas(status)}


def known_packages(status: str) -> set[str]:
    """Return those too of which something is left, as when their removal was cut off."""
    return {fields["Package"] for fields in known_stanzas(status)}


def simulated(output: str) -> set[str]:
    """Return the packages that ``apt-get --simulate`` would remove."""
    return set(re.findall(r"^(?:Remv|Purg) (\S+)", output, re.MULTILINE))


def wanted_by_others(status: str, gone: set[str], before: frozenset[str]) -> set[str]:
    """Return what packages recommend or suggest that stay, and came after us.

    What was there before did without it then.
    """
    found: set[str] = set()
    for fields in installed_stanzas(status):
        if fields["Package"] in gone or fields["Package"] in before:
            continue
        for field in ("Recommends", "Suggests"):
            found |= set(re.findall(r"(?:^|[,|] ?)([a-z0-9][a-z0-9.+-]+)", fields.get(field, "")))
    return found


def targets(
    names: list[str], before: frozenset[str], idle: set[str], with_them: dict[str, set[str]]
) -> tuple[set[str], dict[str, set[str]]]:
    """Return what to purge, and for each name that stays the packages that would go with it.

    ``idle``: what nobody needs already, ``with_them``: what goes with each name by apt's simulation.
    """
    needed = {name: (gone - {name, *names}) & before for name, gone in with_them.items()}
    stay = {name: others for name, others in needed.items() if others}
    gone = {package for name, packages in with_them.items() if name not in stay for package in packages}
    return gone - before - idle, stay


def remove_packages(removal: Removal, installed: Installed, keep_engine: str, unfinished: Unfinished) -> None:
    """Purge them; ``keep_engine`` is why Docker Engine stays, if it does."""
    begun = unfinished.names("packages")
    if begun and not removal.check:
        _end_dpkg()
    there = known_packages(_status())
    names = []
    for name in dict.fromkeys([*installed.packages, *sorted(begun)]):
        if name in there and keep_engine and is_engine(name):
            removal.leave("package", name, keep_engine)
        elif name in there:
            names.append(name)
    if names:
        _purge(removal, installed, names, unfinished)
    if not removal.check:
        _stop_services(unfinished)
    for name in sorted((installed.packages_before & _TIME_DAEMONS) - installed_packages(_status())):
        removal.leave("package", name, "it was there before, and another took its place; install it again")
    if removal.check:
        return
    there = installed_packages(_status())
    gone = [name for name in installed.packages if name not in there]
    if any(is_engine(name) for name in gone) and not any(is_engine(name) for name in there):
        remove_engine_rest(removal)
    for name in gone:
        account = _LEFT_BEHIND.get(name)
        if account and account not in installed.groups_before:
            _remove_account(removal, account)


def _purge(removal: Removal, installed: Installed, names: list[str], unfinished: Unfinished) -> None:
    # Nobody's need of what was to go with ours already is no sign that it was so before us.
    idle = simulated(_apt("--simulate", "autoremove")) - unfinished.names("packages")
    with_them = simulated(_apt("--simulate", "purge", *names))
    if (with_them - set(names)) & installed.packages_before:
        # Each by itself, since apt says only of all of them together what goes with them.
        each = {name: simulated(_apt("--simulate", "purge", name)) for name in names}
        gone, stay = targets(names, installed.packages_before, idle, each)
        for name, others in stay.items():
            removal.leave("package", name, f"{', '.join(sorted(others))} would go with it")
    else:
        unneeded = simulated(_apt("--simulate", "autoremove", "--purge", *names))
        gone = (with_them | unneeded) - idle - installed.packages_before
        gone -= wanted_by_others(_status(), gone, installed.packages_before) - with_them
    for name in sorted(gone):
        removal.take("package", name)
    if gone and not removal.check:
        # Those that were noted by a run before this one are of a host on which no package was gone yet.
        noted = unfinished.names("packages")
        unfinished.note(services_before=() if noted else _services_without_file(), packages=gone)
        # Role docker_engine holds the engine's packages.
        _apt("--yes", "--allow-change-held-packages", "purge", *sorted(gone))


def _end_dpkg() -> None:
    """Wait until what a run that was cut off has left running ends, and end what was cut off with it."""
    try:
        _apt("check")
    except EdgeError:
        run("dpkg", "--configure", "-a")


def _stop_services(unfinished: Unfinished) -> None:
    """Stop what purged packages left running: not every package stops what it runs."""
    if unfinished.names("packages"):
        for service in sorted(_services_without_file() - unfinished.names("services_before")):
            attempt("systemctl", "stop", service)


def _services_without_file() -> set[str]:
    listed = run("systemctl", "list-units", "--type=service", "--state=active", "--plain", "--no-legend")
    return {line.split()[0] for line in listed.splitlines() if line.split()[1:2] == ["not-found"]}


def _status() -> str:
    return DPKG_STATUS.read_text(errors="replace") if DPKG_STATUS.exists() else ""


def _apt(*arguments: str) -> str:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    options = ["--option=DPkg::Lock::Timeout=300"]
    # What came with ours is not needed because something that was there suggests it, as tar does xz-utils.
    options += [f"--option=APT::AutoRemove::{kind}Important=false" for kind in ("Suggests", "Recommends")]
    return run("apt-get", "--quiet", *options, *arguments, environment=environment)


def _remove_account(removal: Removal, name: str) -> None:
    if attempt("getent", "passwd", name):
        removal.take("user", name)
        run("userdel", name)
    if attempt("getent", "group", name):
        removal.take("group", name)
        run("groupdel", name)
