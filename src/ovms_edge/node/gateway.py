"""The gateway before OVMS, as the role ``ovms_gateway`` set it up (``gateway.json``), and its route.

The route is a file that HAProxy reads for each request. It lies in /run: after a boot there is none, and
everything is held until what serves was verified.
"""

from __future__ import annotations

import ipaddress
import json
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ovms_edge.errors import EdgeError
from ovms_edge.node.files import write_atomic
from ovms_edge.node.known_keys import checked_object
from ovms_edge.node.slots import SLOTS, Slot

GATEWAY_FILE = "gateway.json"
HOLD = "hold"
SERVER_PORT = 8000
_ROLE = "run the role ovms.edge.ovms_gateway (playbooks/prepare_hosts.yml)"
_HEALTH_SECONDS = 2.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Apps:
    """How applications in containers reach the gateway: by ``alias`` on ``network``, through ``socket``."""

    network: str
    alias: str
    socket: Path


@dataclass(frozen=True)
class Gateway:
    """``url`` is where this host itself reaches it; ``slots`` are addresses in ``subnet`` of ``network``."""

    url: str
    network: str
    subnet: str
    slots: dict[Slot, str]
    route_file: Path
    apps: Apps | None = None

    def server_url(self, slot: Slot) -> str:
        """Return the URL of OVMS in ``slot``, past the gateway."""
        return f"http://{self.slots[slot]}:{SERVER_PORT}"

    def route(self) -> str:
        """Return the slot that requests go to, or ``hold``."""
        try:
            word = self.route_file.read_text().strip()
        except OSError:
            return HOLD
        return word if word in SLOTS else HOLD

    def set_route(self, word: str) -> None:
        """Send requests to a slot, or hold them."""
        try:
            write_atomic(self.route_file, f"{word}\n".encode(), 0o644)
        except FileNotFoundError as error:
            raise EdgeError(f"no {self.route_file.parent}: the gateway was never started", _ROLE) from error

    def health(self) -> str:
        """Return what the gateway says of itself: a slot, ``hold`` or ``down``.

        Raises EdgeError if it does not answer.
        """
        return self.answer()[0]

    def answer(self) -> tuple[str, str | None]:
        """Return what ``health`` does, and the digest of the configuration that the gateway runs with."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        connection: HTTPConnection
        if parts.scheme == "https":
            # its certificate is for the name that clients use; nothing secret is sent, and to this host only
            context = ssl._create_unverified_context()  # noqa: S323
            connection = HTTPSConnection(host, parts.port, timeout=_HEALTH_SECONDS, context=context)
        else:
            connection = HTTPConnection(host, parts.port, timeout=_HEALTH_SECONDS)
        try:
            connection.request("GET", "/health")
            response = connection.getresponse()
            said = response.read(100).decode(errors="replace").strip()
            return said, response.headers.get("gateway-config")
        except (OSError, HTTPException) as error:
            raise EdgeError(
                f"the gateway does not answer at {self.url}: {error or type(error).__name__}",
                "see systemctl status ovms-edge-gateway",
            ) from error
        finally:
            connection.close()

    def wait_for(self, slot: Slot, seconds: float) -> None:
        """Return once the gateway sends requests to ``slot``; raises EdgeError if it does not in time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                said = self.health()
            except EdgeError:
                if time.monotonic() >= deadline:
                    raise
            else:
                if said == slot:
                    return
                if time.monotonic() >= deadline:
                    raise EdgeError(
                        f"the gateway does not send requests to slot {slot}, it says {said!r}",
                        "see journalctl -u ovms-edge-gateway",
                    )
            time.sleep(_POLL_SECONDS)


def load_gateway(path: Path) -> Gateway:
    """Read ``gateway.json``; raises EdgeError naming what is wrong with it."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise EdgeError(f"no {path}: there is no gateway on this node", _ROLE) from error
    except (OSError, ValueError) as error:
        raise EdgeError(f"{path} cannot be read: {error}", _ROLE) from error
    keys = ("schema", "url", "ca_file", "network", "subnet", "slots", "route_file", "apps")
    document = checked_object(content, keys, f"{path}: gateway setting")
    try:
        if document["schema"] != 1:
            raise ValueError(f"schema {document['schema']!r}, this ovms-node reads 1")
        slots = {slot: str(ipaddress.IPv4Address(document["slots"][slot])) for slot in SLOTS}
        return Gateway(
            url=document["url"],
            network=document["network"],
            subnet=str(ipaddress.IPv4Network(document["subnet"])),
            slots=slots,
            route_file=Path(document["route_file"]),
            apps=_apps(document["apps"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EdgeError(f"{path} is damaged: {error}", _ROLE) from error


def _apps(document: dict[str, Any] | None) -> Apps | None:
    if document is None:
        return None
    return Apps(document["network"], document["alias"], Path(document["socket"]))
