"""What dockerd changes in the machine's network and leaves behind when it ends."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from .shell import run, succeeds

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def state() -> dict[str, Any]:
    """Forwarding switch and policy of the FORWARD chain, as they are now."""
    rules = run(["iptables-save"]) if shutil.which("iptables-save") else ""
    return {"ip_forward": _FORWARDING.read_text().strip(), "policy": _policy(rules)}


def restore(before: dict[str, Any]) -> None:
    """Take Docker's rules, chains and bridge away again, and what ``state`` told before."""
    if not before or not shutil.which("iptables-save"):
        return
    kept = without_docker(run(["iptables-save"]), before["policy"])
    run(["iptables-restore"], stdin=kept)
    if succeeds(["ip", "link", "show", "docker0"]):
        run(["ip", "link", "delete", "docker0"])
    _FORWARDING.write_text(before["ip_forward"] + "\n")


def without_docker(rules: str, policy: str) -> str:
    """``iptables-save`` output with no line of Docker's and FORWARD's ``policy``.

    Call when no container runs: the rules of networks other than the default one are gone by then.
    """
    lines: list[str] = []
    for line in rules.splitlines():
        if line.startswith(":FORWARD ") and _in_filter(lines):
            lines.append(f":FORWARD {policy} [0:0]")
        elif "DOCKER" not in line and "docker0" not in line and "172.17.0.0/16" not in line:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _policy(rules: str) -> str:
    lines: list[str] = []
    for line in rules.splitlines():
        if line.startswith(":FORWARD ") and _in_filter(lines):
            return line.split()[1]
        lines.append(line)
    return "ACCEPT"


def _in_filter(lines: list[str]) -> bool:
    return next((line for line in reversed(lines) if line.startswith("*")), "") == "*filter"
