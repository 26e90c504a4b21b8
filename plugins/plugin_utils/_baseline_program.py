# SPDX-License-Identifier: Apache-2.0
"""Looks at a host's packages, and tells services that their settings changed. Private to this collection.

The action ``baseline`` sends this file's text to ``python3 -`` on the host: standard library only (3.10+).
"""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.ovms.edge.plugins.plugin_utils._record_program import DPKG_STATUS, installed_packages

# Who is still to be told, should a run end in between. A boot tells them all.
PENDING = Path("/run/ovms-edge-baseline.pending")
OOM_UNITS = ("ssh.service", "ovms-edge-gateway.service")
FIREWALL_UNIT = "ovms-edge-firewall.service"

_TELL: dict[str, list[list[str]]] = {
    "journald": [["systemctl", "restart", "systemd-journald.service"]],
    "timesyncd": [["systemctl", "try-restart", "systemd-timesyncd.service"]],
    "chrony": [["systemctl", "try-restart", "chrony.service"]],
    "manager": [["systemctl", "daemon-reexec"]],
    "oom": [["systemctl", "daemon-reload"]],
    "sshd": [["systemctl", "try-reload-or-restart", "ssh.service"]],
    "no firewall": [["systemctl", "daemon-reload"]],
}


def look(packages: list[str], firewall: bool) -> dict[str, Any]:
    """Return which of ``packages`` are missing, who is still to be told, and whether our rules are loaded."""
    there = installed_packages(DPKG_STATUS.read_text(errors="replace")) if packages else set()
    table = firewall and _ran("nft", "list", "table", "inet", "ovms_edge")
    return {
        "lacking": [name for name in packages if name not in there],
        "pending": pending(),
        "table": bool(table),
    }


def pending() -> list[str]:
    try:
        names: list[str] = json.loads(PENDING.read_text())
    except FileNotFoundError:
        return []
    return names


def remember(names: list[str]) -> dict[str, Any]:
    """Keep in mind who is to be told of what is about to be written."""
    wanted = sorted({*pending(), *names})
    if wanted:
        PENDING.write_text(json.dumps(wanted))
    return {"ok": True}


def tell() -> dict[str, Any]:
    """Tell them; returns what failed."""
    failed = []
    for name in pending():
        if name == "no firewall":
            _drop_firewall()
        for command in _TELL[name]:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                failed.append(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
        if name == "oom":
            _protect()
    if not failed:
        PENDING.unlink(missing_ok=True)
    return {"ok": not failed, "msg": "; ".join(failed) + "; see systemctl status on the host"}


def _drop_firewall() -> None:
    """Undo what the unit did; its file is gone already."""
    _ran("systemctl", "stop", FIREWALL_UNIT)
    _ran("nft", "delete", "table", "inet", "ovms_edge")
    for link in Path("/etc/systemd/system").glob(f"*.wants/{FIREWALL_UNIT}"):
        link.unlink()


def _protect() -> None:
    """Give what runs already the score that its unit has now; a restart would cut who is connected."""
    for unit in OOM_UNITS:
        shown = subprocess.run(
            ["systemctl", "show", "--property=MainPID,OOMScoreAdjust", unit],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        if values.get("MainPID", "0") == "0":
            continue
        score = Path("/proc", values["MainPID"], "oom_score_adj")
        # A container may not lower it; sshd has taken a lower one for itself.
        with suppress(OSError):
            if int(score.read_text()) > int(values["OOMScoreAdjust"]):
                score.write_text(values["OOMScoreAdjust"])


def _ran(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
