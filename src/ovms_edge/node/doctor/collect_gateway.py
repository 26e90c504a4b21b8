"""Evidence of the gateway: what the running one answers, its files, and who else has its port."""

from __future__ import annotations

import hashlib
import re
import ssl
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from ovms_edge.errors import EdgeError
from ovms_edge.node.doctor.collect_host import GATEWAY_UNIT
from ovms_edge.node.doctor.commands import Run
from ovms_edge.node.doctor.evidence import AnswerEvidence, GatewayEvidence, Places
from ovms_edge.node.gateway import Gateway

_DIGEST = re.compile(r"(?m)^(\s*setenv GATEWAY_CONFIG )(\S+)$")
_PLACEHOLDER = "@digest@"
_DIGITS = 16
_LISTENS = "0A"  # TCP_LISTEN, linux/include/net/tcp_states.h
_UNIT = re.compile(r"/([^/]+\.(?:service|scope))$", re.MULTILINE)


def gateway_evidence(places: Places, gateway: Gateway, run: Run) -> GatewayEvidence:
    """Return what is to be known of ``gateway`` without asking it."""
    directory = places.gateway_directory
    text = _text(directory / "haproxy.cfg")
    found = _DIGEST.search(text)
    return GatewayEvidence(
        written_config=found[2] if found else None,
        intact=_intact(directory, text, found[2]) if found else None,
        holder=port_holder(places.proc, urlsplit(gateway.url).port or 0),
        certificate_ends=_certificate_ends(directory / "certificate.pem", run),
    )


def gateway_answer(gateway: Gateway) -> AnswerEvidence:
    """Return what the running gateway says of itself."""
    try:
        return AnswerEvidence(None, *gateway.answer())
    except EdgeError as error:
        return AnswerEvidence(error)


def _intact(directory: Path, text: str, digest: str) -> bool | None:
    """Whether the files are those that the role made ``digest`` of; None if that cannot be told.

    It is of the configuration, of gateway.lua, and of a certificate and key that the inventory has: whose
    text as it was given is not known here.
    """
    original = _DIGEST.sub(rf"\g<1>{_PLACEHOLDER}", text, count=1)
    made_of = original + _text(directory / "gateway.lua")
    if hashlib.sha256(made_of.encode()).hexdigest()[:_DIGITS] == digest:
        return True
    return None if (directory / "tls.pem").exists() else False


def port_holder(proc: Path, port: int) -> tuple[str, str] | None:
    """Return who listens at TCP ``port`` and is not the gateway, and a command that ends it."""
    inodes = {
        fields[9]
        for table in ("net/tcp", "net/tcp6")
        for line in _text(proc / table).splitlines()[1:]
        if (fields := line.split())[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port
    }
    if not inodes:
        return None
    for process in proc.glob("[0-9]*"):
        if _sockets(process) & inodes:
            groups = _text(process / "cgroup")
            if GATEWAY_UNIT in groups:
                return None
            unit = _UNIT.search(groups)
            name = _text(process / "comm").strip() or "a process"
            end = f"systemctl stop {unit[1]}" if unit else f"kill {process.name}"
            return f"{name}, pid {process.name}", end
    return "a process that cannot be seen", f"ss -ltnp 'sport = :{port}'"


def _sockets(process: Path) -> set[str]:
    found = set()
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                target = str(link.readlink())
                if target.startswith("socket:["):
                    found.add(target[len("socket:[") : -1])
    return found


def _certificate_ends(path: Path, run: Run) -> float | None:
    if not path.exists():
        return None
    said = run(["openssl", "x509", "-noout", "-enddate", "-in", str(path)]) or ""
    name, _, moment = said.strip().partition("=")
    return float(ssl.cert_time_to_seconds(moment)) if name == "notAfter" else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
