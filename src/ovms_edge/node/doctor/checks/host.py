"""The host: memory, disk, clock, kernel."""

from __future__ import annotations

import re
from collections.abc import Callable

from ovms_edge.node.doctor.checks.words import playbook
from ovms_edge.node.doctor.evidence import Disk, Evidence
from ovms_edge.node.doctor.findings import Check, Trouble, Unknown, Verdict
from ovms_edge.node.output import size_text
from ovms_edge.ovms.memory import GIB

# What role host_baseline asks for by default: what a host sold with 16 GiB reports.
LEAST_MEMORY_BYTES = 14 * GIB
# `stage` leaves as much beside what it fetches.
LEAST_FREE_BYTES = GIB
LEAST_DOCKER_FREE_BYTES = 2 * GIB
LEAST_FREE_INODES = 1000
# Of what is left the kernel frees caches all the time, and a first request's allocation fails.
LEAST_AVAILABLE_PERCENT = 3
MOST_STALL_PERCENT = 10.0
# Certificates and signatures have dates; a depot's Date header has whole seconds and a way behind it.
MOST_CLOCK_SECONDS = 120.0
DISTRIBUTIONS = {("debian", "12"), ("debian", "13")}

_OTHER_KERNEL = Unknown("in a container the kernel is another machine's")
_OOM = re.compile(r"Out of memory: Killed process|oom-kill:|Memory cgroup out of memory")


def _distribution(evidence: Evidence) -> Verdict:
    found = (evidence.host.os.get("ID", ""), evidence.host.os.get("VERSION_ID", ""))
    if found in DISTRIBUTIONS:
        return None
    name = evidence.host.os.get("PRETTY_NAME") or " ".join(found).strip() or "no /etc/os-release"
    return Trouble(name, "Debian 12 or 13", "install Debian 13, then " + playbook("site.yml"))


def _architecture(evidence: Evidence) -> Verdict:
    if evidence.host.machine == "x86_64":
        return None
    return Trouble(evidence.host.machine, "x86_64", "use a host with an Intel processor")


def _modules(evidence: Evidence) -> Verdict:
    host = evidence.host
    if host.in_container:
        return _OTHER_KERNEL
    if host.has_modules:
        return None
    found = f"kernel {host.kernel} runs, and its modules are gone"
    return Trouble(found, f"{evidence.places.modules / host.kernel}", "systemctl reboot")


def _reboot(evidence: Evidence) -> Verdict:
    if not evidence.host.reboot_required:
        return None
    path = evidence.places.run / "reboot-required"
    return Trouble(
        f"{path}: packages wait for a reboot", "what runs is what is installed", "systemctl reboot"
    )


def _memory(evidence: Evidence) -> Verdict:
    total = evidence.host.memory_total
    if total >= LEAST_MEMORY_BYTES:
        return None
    fix = "see that the firmware finds every memory module: dmidecode --type memory"
    return Trouble(f"{size_text(total)} of memory", f"{size_text(LEAST_MEMORY_BYTES)} or more", fix)


def _pressure(evidence: Evidence) -> Verdict:
    host = evidence.host
    largest = "ps -eo rss,pid,comm --sort=-rss | head"
    if host.memory_available * 100 < host.memory_total * LEAST_AVAILABLE_PERCENT:
        found = f"{size_text(host.memory_available)} available of {size_text(host.memory_total)}"
        return Trouble(found, f"{LEAST_AVAILABLE_PERCENT} % or more", largest)
    if host.memory_stall is not None and host.memory_stall > MOST_STALL_PERCENT:
        found = f"everything waits for memory {host.memory_stall:g} % of the time (PSI, full avg60)"
        return Trouble(found, f"at most {MOST_STALL_PERCENT:g} %", largest)
    return None


def _oom(evidence: Evidence) -> Verdict:
    killed = matching(evidence, _OOM)
    if isinstance(killed, Unknown) or not killed:
        return killed or None
    fix = "see what took it: journalctl -k --grep 'Killed process'; then lower ovms_server_cache_size"
    return Trouble(f"the kernel log: {killed}", "no process killed for memory within a day", fix)


def matching(evidence: Evidence, pattern: re.Pattern[str]) -> str | Unknown:
    """Return the last message of the kernel's log of a day that matches; empty if none does."""
    if evidence.host.in_container:
        return Unknown("in a container the kernel log is another machine's")
    if evidence.host.kernel_log is None:
        return Unknown("the kernel log cannot be read")
    return next((line for line in reversed(evidence.host.kernel_log) if pattern.search(line)), "")


def _on_state_disk(look: Callable[[Disk], Trouble | None]) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence) -> Verdict:
        disk = evidence.host.state_disk
        return look(disk) if disk else Unknown("the disk cannot be asked")

    return check


def _read_only(disk: Disk) -> Trouble | None:
    if not disk.read_only:
        return None
    fix = (
        f"journalctl -k --grep 'remount|I/O error'; mount -o remount,rw $(findmnt -no TARGET -T {disk.path})"
    )
    return Trouble(f"{disk.path} is on a file system mounted read-only", "one that can be written", fix)


def _space(disk: Disk) -> Trouble | None:
    if disk.free >= LEAST_FREE_BYTES:
        return None
    found = f"{size_text(disk.free)} free for {disk.path}"
    return Trouble(found, f"{size_text(LEAST_FREE_BYTES)} or more", "ovms-node gc && docker image prune -f")


def _inodes(disk: Disk) -> Trouble | None:
    if not disk.inodes or disk.free_inodes >= LEAST_FREE_INODES:
        return None
    fix = f"du --inodes -x {disk.path} | sort -n | tail"
    return Trouble(f"{disk.free_inodes} inodes free for {disk.path}", f"{LEAST_FREE_INODES} or more", fix)


def _docker_space(evidence: Evidence) -> Verdict:
    disk = evidence.host.docker_disk
    if disk is None or disk.free >= LEAST_DOCKER_FREE_BYTES:
        return None
    found = f"{size_text(disk.free)} free for {disk.path}"
    return Trouble(found, f"{size_text(LEAST_DOCKER_FREE_BYTES)} or more", "docker system prune -f")


def _clock(evidence: Evidence) -> Verdict:
    if evidence.host.clock_synchronized is None:
        return Unknown("in a container the clock is another machine's")
    if evidence.host.clock_synchronized:
        return None
    fix = "timedatectl set-ntp true && timedatectl timesync-status"
    return Trouble("the kernel says that nothing keeps the clock", "synchronized", fix)


def _clock_skew(evidence: Evidence) -> Verdict:
    ahead = evidence.depot.clock_ahead if evidence.depot else None
    if ahead is None:
        return Unknown("the depot tells no time")
    if abs(ahead) <= MOST_CLOCK_SECONDS:
        return None
    way = "ahead of" if ahead > 0 else "behind"
    found = f"the clock is {abs(ahead):.0f} s {way} the depot's"
    fix = "timedatectl set-ntp true && systemctl restart systemd-timesyncd"
    return Trouble(found, f"at most {MOST_CLOCK_SECONDS:.0f} s", fix)


CHECKS = (
    Check("host.distribution", "warning", "/etc/os-release", _distribution),
    Check("host.architecture", "error", "the processor's architecture", _architecture),
    Check("host.kernel-modules", "error", "modules of the kernel that runs", _modules),
    Check("host.reboot", "warning", "/run/reboot-required", _reboot),
    Check("host.memory", "error", "MemTotal", _memory),
    Check("host.memory-pressure", "warning", "MemAvailable, pressure stall information", _pressure),
    Check("host.oom", "warning", "kernel log: processes killed for memory", _oom),
    Check(
        "host.read-only", "error", "the state directory's mount", _on_state_disk(_read_only), ("node.config",)
    ),
    Check(
        "host.disk",
        "error",
        "room for the state directory",
        _on_state_disk(_space),
        ("node.config", "host.read-only"),
    ),
    Check(
        "host.inodes", "error", "inodes for the state directory", _on_state_disk(_inodes), ("node.config",)
    ),
    Check(
        "host.docker-disk", "warning", "room for images and logs", _docker_space, ("node.config", "host.disk")
    ),
    Check("host.clock", "warning", "adjtimex(2): is the clock kept", _clock),
)
SKEW = Check(
    "host.clock-skew", "error", "this clock against the depot's", _clock_skew, ("depot.answer", "host.clock")
)
