"""How far a question to a registry comes: its name, a connection, TLS, an answer to ``/v2/``."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import ovms_edge
from ovms_edge.errors import EdgeError
from ovms_edge.node.config import DepotServer
from ovms_edge.node.doctor.evidence import DepotEvidence
from ovms_edge.node.registry_auth import credentials_for

_SECONDS = 1.5  # each for connection, TLS and answer


def ask_depot(server: DepotServer, seen: DepotEvidence) -> None:
    """Ask the registry, and write into ``seen`` how far that came."""
    parts = urlsplit(server.url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        context = ssl.create_default_context(cafile=str(server.ca_file) if server.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        seen.fault = str(error)
        return
    if getproxies().get(parts.scheme) and not proxy_bypass(parts.netloc):
        seen.proxied, seen.step = True, "done"
        return
    try:
        seen.step = "resolve"
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        seen.step = "connect"
        with _connected(places) as plain:
            if parts.scheme == "https":
                seen.step = "certificate"
                with context.wrap_socket(plain, server_hostname=host) as secure:
                    seen.certificate_ends = _ends(secure)
                    _ask(secure, server, parts.netloc, seen)
            else:
                _ask(plain, server, parts.netloc, seen)
    except ssl.SSLCertVerificationError as error:
        seen.fault = error.verify_message
    except (OSError, HTTPException) as error:
        seen.fault = str(error) or type(error).__name__


def _connected(places: Sequence[tuple[Any, ...]]) -> socket.socket:
    """Return a connection to the first address that takes one."""
    last: OSError | None = None
    for family, kind, protocol, _, address in places:
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(_SECONDS)
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            last = error
        else:
            return connection
    raise last or OSError("no address")


def _ends(connection: ssl.SSLSocket) -> float | None:
    moment = (connection.getpeercert() or {}).get("notAfter")
    return float(ssl.cert_time_to_seconds(moment)) if isinstance(moment, str) else None


def _ask(connection: socket.socket, server: DepotServer, registry: str, seen: DepotEvidence) -> None:
    seen.step = "answer"
    headers = {"Host": registry, "User-Agent": f"ovms-node/{ovms_edge.__version__}", "Connection": "close"}
    try:
        credentials = credentials_for(registry, server.credentials_file)
    except EdgeError as error:
        seen.fault = error.reason
        return
    if credentials:
        headers["Authorization"] = credentials.basic
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection.sendall(f"GET /v2/ HTTP/1.1\r\n{lines}\r\n".encode())
    response = HTTPResponse(connection, method="GET")
    response.begin()
    seen.status = response.status
    seen.challenge = response.headers.get("WWW-Authenticate", "").partition(" ")[0].lower()
    seen.clock_ahead = _ahead(response.headers.get("Date", ""))
    response.close()
    seen.step = "done"


def _ahead(date: str) -> float | None:
    """Return by how many seconds this host's clock is ahead of a Date header; None for none."""
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None
