# SPDX-License-Identifier: Apache-2.0
"""Firewall and sshd of a host, as role ``host_baseline`` wants them, and what speaks against it.

Private to this collection. Nothing here asks or changes a host.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

FIREWALL_FILE = "/etc/ovms-edge/firewall.nft"
FIREWALL_UNIT = "ovms-edge-firewall.service"
FIREWALL_UNIT_FILE = f"/etc/systemd/system/{FIREWALL_UNIT}"
# sshd takes the first value that it reads of a setting, and reads these files by their names.
SSHD_FILE = "/etc/ssh/sshd_config.d/01-ovms-edge.conf"

_WRITTEN = "# Written by Ansible's role ovms.edge.host_baseline: changes are lost.\n"
_UNIT = f"""\
{_WRITTEN}[Unit]
Description=Firewall before this store's own ports
DefaultDependencies=no
# The distribution's own rules begin with `flush ruleset`.
After=nftables.service
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {FIREWALL_FILE}
ExecStop=/usr/sbin/nft delete table inet ovms_edge

[Install]
WantedBy=sysinit.target
"""


def sshd_text(root_login: str) -> str:
    """Return sshd's settings: keys only."""
    return (
        f"{_WRITTEN}PasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        "PermitEmptyPasswords no\n"
        f"PermitRootLogin {root_login}\n"
        "X11Forwarding no\n"
        "LoginGraceTime 30\n"
    )


def openings(inputs: Mapping[str, Any], gateway: Mapping[str, Any]) -> list[tuple[str, int, list[str]]]:
    """Return protocol, port and sources (none: everywhere) of what is let in.

    A gateway that listens on the loopback alone needs nothing.
    """
    found = [("tcp", port, inputs["firewall_ssh_from"]) for port in inputs["firewall_ssh_ports"]]
    if not _loopback(gateway["ovms_gateway_bind_address"]):
        found.append(("tcp", gateway["ovms_gateway_port"], inputs["firewall_gateway_from"]))
    address, _, port = gateway["ovms_gateway_metrics_address"].rpartition(":")
    if port and not _loopback(address):
        found.append(("tcp", int(port), inputs["firewall_gateway_from"]))
    for more in inputs["firewall_open"]:
        found.append((more.get("protocol") or "tcp", int(more["port"]), more.get("from") or []))
    return found


def firewall_text(opened: list[tuple[str, int, list[str]]]) -> str:
    """Return a table of our own, to be loaded in one step over an earlier one. Docker's and others' stay."""
    rules = "\n".join(f"        {rule}" for opening in opened for rule in _rules(*opening))
    return f"""\
{_WRITTEN}table inet ovms_edge
delete table inet ovms_edge
table inet ovms_edge {{
    chain input {{
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        iifname "lo" accept
        meta l4proto {{ icmp, ipv6-icmp }} accept
        udp dport {{ 68, 546 }} accept
{rules}
        counter
    }}
}}
"""


def access_entries(inputs: Mapping[str, Any], gateway: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the files of firewall and sshd that are wanted."""
    entries = []
    if inputs["firewall"]:
        entries.append(
            {"path": FIREWALL_FILE, "mode": "0644", "content": firewall_text(openings(inputs, gateway))}
        )
        entries.append({"path": FIREWALL_UNIT_FILE, "mode": "0644", "content": _UNIT})
    if inputs["sshd_hardening"]:
        entries.append({"path": SSHD_FILE, "mode": "0644", "content": sshd_text(inputs["sshd_root_login"])})
    return entries


def access_units(inputs: Mapping[str, Any]) -> list[str]:
    """Return the units that are to run for them."""
    return [FIREWALL_UNIT] if inputs["firewall"] else []


def obstacles(inputs: Mapping[str, Any], found: Mapping[str, Any], with_password: bool) -> list[str]:
    """Return why firewall or sshd are not touched, a line each: what, the value found, what to do.

    ``found`` is what the host says; ``with_password``: the controller has a password for the connection.
    """
    connection = found["connection"]
    if connection is None:
        return [
            "the host is not reached by SSH, so nothing could prove that it can be reached afterwards; "
            "connect by SSH, or set host_baseline_firewall and host_baseline_sshd_hardening to false"
        ]
    problems: list[str] = []
    if inputs["firewall"]:
        problems += _firewall_obstacles(inputs, found, connection)
    if inputs["sshd_hardening"]:
        problems += _sshd_obstacles(inputs, found, connection, with_password)
    return problems


def left_out(opened: list[tuple[str, int, list[str]]], listening: list[int]) -> list[int]:
    """Return TCP ports on which the host listens to others, and that nobody would be let into."""
    let_in = {port for protocol, port, _ in opened if protocol == "tcp"}
    return sorted(set(listening) - let_in)


def _firewall_obstacles(
    inputs: Mapping[str, Any], found: Mapping[str, Any], connection: Mapping[str, Any]
) -> Iterator[str]:
    for other in found["firewalls"]:
        yield (
            f"{other} is the firewall of this host, and two would contradict each other; open the ports "
            "there and set host_baseline_firewall to false, or turn it off"
        )
    ports = inputs["firewall_ssh_ports"]
    if connection["server_port"] not in ports:
        yield (
            f"SSH comes in on port {connection['server_port']}, and host_baseline_firewall_ssh_ports is "
            f"{', '.join(map(str, ports))}; add it"
        )
    sources = inputs["firewall_ssh_from"]
    client = ipaddress.ip_address(connection["client"])
    client = getattr(client, "ipv4_mapped", None) or client
    if sources and not any(client in ipaddress.ip_network(source, strict=False) for source in sources):
        yield (
            f"SSH comes from {client}, and host_baseline_firewall_ssh_from is {', '.join(sources)}; "
            "add where the operator connects from"
        )


def _sshd_obstacles(
    inputs: Mapping[str, Any], found: Mapping[str, Any], connection: Mapping[str, Any], with_password: bool
) -> Iterator[str]:
    user, method = connection["user"], connection["method"]
    remedy = (
        "give that user an authorized key and connect with it, or set host_baseline_sshd_hardening to false"
    )
    if method not in (None, "publickey") or (method is None and with_password):
        yield f"{user} is logged in by {method or 'password'}, which would not work any more; {remedy}"
    elif method is None and not found["authorized_key"]:
        yield f"{user} has no authorized key on the host; {remedy}"
    if user == "root" and inputs["sshd_root_login"] == "no":
        yield (
            "root is logged in, which would not work any more; connect as another user, or set "
            "host_baseline_sshd_root_login to prohibit-password"
        )


def _rules(protocol: str, port: int, sources: list[str]) -> list[str]:
    if not sources:
        return [f"{protocol} dport {port} accept"]
    families: dict[str, list[str]] = {}
    for source in sources:
        network = ipaddress.ip_network(source, strict=False)
        families.setdefault("ip" if network.version == 4 else "ip6", []).append(str(network))
    return [
        f"{family} saddr {{ {', '.join(networks)} }} {protocol} dport {port} accept"
        for family, networks in families.items()
    ]


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False
