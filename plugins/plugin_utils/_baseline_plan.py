# SPDX-License-Identifier: Apache-2.0
"""What role ``host_baseline`` wants of a host, from its inputs. Private to this collection.

Nothing here asks or changes a host. Files are entries of the program of ``host_files``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.ovms.edge.plugins.plugin_utils._access_plan import (
    FIREWALL_FILE,
    FIREWALL_UNIT_FILE,
    SSHD_FILE,
)

ROLE = "host_baseline"

JOURNALD_FILE = "/etc/systemd/journald.conf.d/ovms-edge.conf"
MANAGER_FILE = "/etc/systemd/system.conf.d/ovms-edge.conf"
TIMESYNCD_FILE = "/etc/systemd/timesyncd.conf.d/ovms-edge.conf"
CHRONY_FILE = "/etc/chrony/sources.d/ovms-edge.sources"
# After the distribution's 50unattended-upgrades, whose lists it clears.
UPGRADES_FILE = "/etc/apt/apt.conf.d/52ovms-edge"
FACTS_FILE = "/etc/ansible/facts.d/ovms_edge.fact"
PROTECTED_UNITS = ("ssh.service", "ovms-edge-gateway.service", "ovms-edge-tend.service")
TIME_UNITS = {"timesyncd": "systemd-timesyncd.service", "chrony": "chrony.service"}

# As Docker has its own engine: the kernel takes a container first, whose score is 0.
OOM_SCORE = -500
# Names are matched from their beginning (unattended-upgrades(8)).
KEPT_PACKAGES = (
    *("linux-", "firmware-", "intel-", "libze", "level-zero", "libigc", "libigdgmm"),
    *("docker", "containerd", "runc", "nvidia-"),
)
_ORIGINS = {
    "debian": "origin=Debian,codename=${distro_codename}-security,label=Debian-Security",
    "ubuntu": "origin=Ubuntu,archive=${distro_codename}-security,label=Ubuntu",
}
_WRITTEN = "# Written by Ansible's role ovms.edge.host_baseline: changes are lost.\n"


@dataclass(frozen=True)
class Baseline:
    """Files, units and packages, and by a file's path what has to be told that it changed."""

    entries: list[dict[str, Any]]
    units: list[str]
    packages: list[str]
    told: dict[str, str]


def oom_file(unit: str) -> str:
    """Return where the protection of a unit is written."""
    return f"/etc/systemd/system/{unit}.d/ovms-edge-oom.conf"


def baseline(inputs: Mapping[str, Any], os_id: str, facts: Mapping[str, Any]) -> Baseline:
    """Return what ``inputs`` (without the role's name before theirs) want of a host of ``os_id``.

    ``facts`` is what the facts file is to say. What an input no longer wants is to be absent.
    """
    sync = inputs["time_sync"]
    servers = inputs["time_servers"]
    files = {
        JOURNALD_FILE: (_journald(inputs) if inputs["journal_max_use"] else None, "journald"),
        MANAGER_FILE: (_watchdog(inputs["watchdog_seconds"]), "manager"),
        TIMESYNCD_FILE: (
            f"{_WRITTEN}[Time]\nNTP={' '.join(servers)}\n" if sync == "timesyncd" and servers else None,
            "timesyncd",
        ),
        CHRONY_FILE: (
            _WRITTEN + "".join(f"server {server} iburst\n" for server in servers)
            if sync == "chrony" and servers
            else None,
            "chrony",
        ),
        UPGRADES_FILE: (_upgrades(os_id) if inputs["security_upgrades"] else None, None),
        FACTS_FILE: (
            json.dumps(facts, indent=2, sort_keys=True) + "\n" if inputs["facts_file"] else None,
            None,
        ),
        **{
            oom_file(unit): (
                f"{_WRITTEN}[Service]\nOOMScoreAdjust={OOM_SCORE}\n" if inputs["oom_protection"] else None,
                "oom",
            )
            for unit in PROTECTED_UNITS
        },
    }
    entries = [_entry(path, text) for path, (text, _) in files.items()]
    told = {path: name for path, (_, name) in files.items() if name}
    # Wanted, they are tried first (_access_plan); to take them away locks nobody out.
    if not inputs["firewall"]:
        entries += [_entry(FIREWALL_UNIT_FILE, None), _entry(FIREWALL_FILE, None)]
        told |= {FIREWALL_UNIT_FILE: "no firewall", FIREWALL_FILE: "no firewall"}
    if not inputs["sshd_hardening"]:
        entries.append(_entry(SSHD_FILE, None))
        told[SSHD_FILE] = "sshd"
    return Baseline(entries, [TIME_UNITS[sync]] if sync in TIME_UNITS else [], _packages(inputs), told)


def host_facts(gateway: Mapping[str, Any], state_dir: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a host is for us, of what rarely changes: for `ansible -m setup`, and whoever logs in."""
    scheme = "https" if gateway["ovms_gateway_tls"] else "http"
    return {
        "schema": 1,
        "role": "store",
        "node_config": "/etc/ovms-edge/node.json",
        "node_tool": "/usr/local/bin/ovms-node",
        "state_dir": state_dir,
        "gateway": {
            "scheme": scheme,
            "address": gateway["ovms_gateway_bind_address"],
            "port": gateway["ovms_gateway_port"],
            "metrics": gateway["ovms_gateway_metrics_address"],
        },
        **more,
    }


def _entry(path: str, text: str | None) -> dict[str, Any]:
    if text is None:
        return {"path": path, "absent": True}
    entry = {"path": path, "mode": "0644", "content": text}
    return {**entry, "validate": ["apt-config", "-c", "%s", "dump"]} if path == UPGRADES_FILE else entry


def _journald(inputs: Mapping[str, Any]) -> str:
    return (
        f"{_WRITTEN}[Journal]\n"
        f"SystemMaxUse={inputs['journal_max_use']}\n"
        f"RuntimeMaxUse={inputs['journal_runtime_max_use']}\n"
        "RateLimitIntervalSec=30s\n"
        f"RateLimitBurst={inputs['journal_rate_limit']}\n"
    )


def _watchdog(seconds: int) -> str | None:
    return f"{_WRITTEN}[Manager]\nRuntimeWatchdogSec={seconds}s\n" if seconds else None


def _upgrades(os_id: str) -> str:
    """Return settings of apt: the distribution's security updates each day, no reboot, not all packages."""
    kept = "".join(f'    "^{name}";\n' for name in KEPT_PACKAGES)
    return (
        "// Written by Ansible's role ovms.edge.host_baseline: changes are lost.\n"
        'APT::Periodic::Update-Package-Lists "1";\n'
        'APT::Periodic::Unattended-Upgrade "1";\n'
        "#clear Unattended-Upgrade::Origins-Pattern;\n"
        "#clear Unattended-Upgrade::Allowed-Origins;\n"
        f'Unattended-Upgrade::Origins-Pattern {{\n    "{_ORIGINS[os_id]}";\n}};\n'
        "// Kernel, GPU and Docker move when somebody means them to.\n"
        f"Unattended-Upgrade::Package-Blacklist {{\n{kept}}};\n"
        'Unattended-Upgrade::Automatic-Reboot "false";\n'
    )


def _packages(inputs: Mapping[str, Any]) -> list[str]:
    time = {"timesyncd": ["systemd-timesyncd"], "chrony": ["chrony"]}.get(inputs["time_sync"], [])
    upgrades = ["unattended-upgrades"] if inputs["security_upgrades"] else []
    return [*time, *upgrades, *(["nftables"] if inputs["firewall"] else [])]
