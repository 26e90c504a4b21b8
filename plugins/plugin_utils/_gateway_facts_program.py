# SPDX-License-Identifier: Apache-2.0
"""Looks at a host before and after the gateway is set up on it. Private to this collection.

The action ``gateway_facts`` sends this file's text to ``python3 -`` on the host: standard library only
(3.10+). It changes nothing.
"""

from __future__ import annotations

import ipaddress
import json
import platform
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

HAPROXY = "/usr/sbin/haproxy"
UNIT = "ovms-edge-gateway.service"
SETTINGS = Path("etc/ovms-edge/gateway.json")
CONFIG = Path("etc/ovms-edge/gateway/haproxy.cfg")
CERTIFICATE = Path("etc/ovms-edge/gateway/certificate.pem")
ROUTES = Path("proc/net/route")
LISTENERS = (Path("proc/net/tcp"), Path("proc/net/tcp6"))
LISTENS = "0A"  # TCP_LISTEN, include/net/tcp_states.h
EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104

# What the role writes into the first line of a certificate that it generates.
GENERATED_FOR = "# generated for: "
UNREACHABLE = "*"  # the device of such a route in /proc/net/route
RENEW_SECONDS = 30 * 24 * 3600
ANSWER_SECONDS = 5.0
POLL_SECONDS = 0.1


def version_in(text: str) -> str | None:
    """Return the version in what ``haproxy -v`` says, such as ``2.6.12``."""
    found = re.search(r"version (\d+\.\d+(?:\.\d+)?)", text)
    return found[1] if found else None


def routes_in(table: str) -> list[tuple[str, ipaddress.IPv4Network]]:
    """Return device and destination of each line of ``/proc/net/route`` but default routes."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        # Hexadecimal, in the byte order of the machine: little-endian on all that OVMS runs on.
        address, mask = (int.from_bytes(bytes.fromhex(fields[at])[::-1], "big") for at in (1, 7))
        if mask:
            found.append((fields[0], ipaddress.IPv4Network((address, mask.bit_count()))))
    return found


def overlaps(subnet: str, table: str, own: str | None) -> list[str]:
    """Return the routes of others that ``subnet`` overlaps; ``own`` is the subnet that is ours already.

    So is one that the gateway's unit has made unreachable by other ways than the network of OVMS.
    """
    wanted, routes = ipaddress.IPv4Network(subnet), routes_in(table)
    ours = {own, *(str(network) for device, network in routes if device == UNREACHABLE)}
    return [
        f"{network} dev {device}"
        for device, network in routes
        if network.overlaps(wanted) and str(network) not in ours
    ]


def listeners_in(table: str) -> list[tuple[str, int, str]]:
    """Return address, port and inode of each listening socket in ``/proc/net/tcp`` or ``tcp6``."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        digits, _, port = fields[1].partition(":")
        if fields[3] == LISTENS:
            words = (bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
            found.append((str(ipaddress.ip_address(b"".join(words))), int(port, 16), fields[9]))
    return found


def in_the_way(bind: str, address: str, port: int) -> bool:
    """Whether nobody can listen at ``bind`` (``ADDRESS:PORT``) beside a listener at ``address``, ``port``."""
    wanted, _, wanted_port = bind.rpartition(":")
    addresses = {wanted.strip("[]"), address}
    return int(wanted_port) == port and (len(addresses) == 1 or bool(addresses & EVERYWHERE))


def taken(binds: list[str], root: Path) -> list[str]:
    """Return of the places in ``binds`` those where others listen than the gateway, and who does."""
    tables = [text_of(root / name) or "" for name in LISTENERS]
    there = [listener for table in tables for listener in listeners_in(table)]
    hits = [
        (bind, inode) for bind in binds for address, port, inode in there if in_the_way(bind, address, port)
    ]
    if not hits:
        return []
    holders = {inode: process for process in (root / "proc").glob("[0-9]*") for inode in sockets_of(process)}
    return sorted(
        {
            f"{bind} ({name_of(holders.get(inode))})"
            for bind, inode in hits
            if inode not in holders or UNIT not in (text_of(holders[inode] / "cgroup") or "")
        }
    )


def sockets_of(process: Path) -> list[str]:
    """Return the inodes of a process's sockets; what goes away meanwhile is none."""
    found = []
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                target = str(link.readlink())
                if target.startswith("socket:["):
                    found.append(target[len("socket:[") : -1])
    return found


def name_of(process: Path | None) -> str:
    if process is None:
        return "a process that cannot be seen"
    return f"{(text_of(process / 'comm') or '').strip()}, pid {process.name}"


def config_in(text: str) -> str | None:
    """Return the digest that a configuration carries; None if it carries none."""
    found = re.search(r"(?m)^\s*setenv GATEWAY_CONFIG (\S+)$", text)
    return found[1] if found else None


def generated_for(text: str) -> str | None:
    """Return the names of a certificate that the role generated; None for one that was given."""
    first = text.partition("\n")[0]
    return first.removeprefix(GENERATED_FOR) if first.startswith(GENERATED_FOR) else None


def text_of(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def said(*argv: str) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False).stdout


def own_subnet(root: Path) -> str | None:
    try:
        subnet = json.loads(text_of(root / SETTINGS) or "{}").get("subnet")
    except (ValueError, AttributeError):
        return None
    return subnet if isinstance(subnet, str) else None


def unit_state() -> dict[str, bool]:
    shown = said("systemctl", "show", "--property=ActiveState,UnitFileState", UNIT)
    states = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    # `reloading` and `activating` are on the way to it.
    return {
        "active": states.get("ActiveState") in ("active", "reloading"),
        "enabled": states.get("UnitFileState") == "enabled",
    }


def answer_of(url: str) -> dict[str, Any]:
    """Return ``status``, ``body`` and ``config`` of ``/health``; ``error`` if there is no answer.

    Asked over the loopback, where a certificate's name may be another: it is not verified.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(f"{url}/health", timeout=ANSWER_SECONDS) as answer:
            status, body, headers = answer.status, answer.read(100), answer.headers
    except urllib.error.HTTPError as error:
        status, body, headers = error.code, error.read(100), error.headers
    except (OSError, ValueError) as error:
        return {"error": str(error)}
    return {
        "status": status,
        "body": body.decode(errors="replace").strip(),
        "config": headers.get("gateway-config"),
    }


def system() -> dict[str, str]:
    """Return ``id`` and ``name`` of the operating system."""
    release = platform.freedesktop_os_release()
    return {"id": release["ID"], "name": release["PRETTY_NAME"]}


def certificate_state(root: Path) -> dict[str, Any]:
    path = root / CERTIFICATE
    text = text_of(path)
    if text is None:
        return {"generated_for": None, "due": True}
    check = ["openssl", "x509", "-noout", "-in", str(path), "-checkend", str(RENEW_SECONDS)]
    try:
        ends = subprocess.run(check, capture_output=True, check=False).returncode != 0
    except FileNotFoundError:
        ends = True
    return {"generated_for": generated_for(text), "due": ends}


def running(url: str, root: Path) -> dict[str, Any]:
    """Return how the gateway's unit is, what it answers, and whether that is by what is on the disk."""
    unit = unit_state()
    answer = answer_of(url) if unit["active"] else {"error": f"{UNIT} is not active"}
    config = config_in(text_of(root / CONFIG) or "")
    return {"unit": unit, "answer": answer, "current": config is not None and answer.get("config") == config}


def facts(
    subnet: str, url: str, binds: list[str] | None = None, wait_seconds: float = 0, root: str = "/"
) -> dict[str, Any]:
    """Return what the host has of a gateway, and what would be in its way.

    Waits at most ``wait_seconds`` until the gateway runs with the configuration on the disk.
    """
    base, deadline = Path(root), time.monotonic() + wait_seconds
    state = running(url, base)
    while not state["current"] and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        state = running(url, base)
    return {
        "hostname": socket.gethostname(),
        "os": system(),
        "haproxy": version_in(said(HAPROXY, "-v")) if Path(HAPROXY).exists() else None,
        "openssl": shutil.which("openssl") is not None,
        "overlaps": overlaps(subnet, text_of(base / ROUTES) or "", own_subnet(base)),
        "taken": taken(binds or [], base),
        "certificate": certificate_state(base),
        **state,
    }
