"""A stand-in for NetBox's REST API: what nb_inventory asks of it, for three devices in two sites."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "a-token-of-netbox"
PARAMETERS = [{"name": name} for name in ("role", "has_primary_ip", "limit")]


def device(number: int, site: int, device_type: int, tags: list[str]) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"store-{number:03}",
        "site": {"id": site},
        "device_type": {"id": device_type},
        "role": {"id": 1},
        "tags": [{"slug": tag} for tag in tags],
        "primary_ip": {"address": f"192.0.2.{number}/24"},
        "primary_ip4": {"address": f"192.0.2.{number}/24"},
        "status": {"value": "active"},
        "custom_fields": {},
    }


LISTS: dict[str, list[dict[str, Any]]] = {
    "/api/dcim/devices/": [
        device(1, 1, 1, ["canary", "flagship"]),
        device(2, 1, 2, []),
        device(3, 2, 1, ["canary"]),
    ],
    "/api/dcim/device-types/": [
        {"id": 1, "slug": "nuc-14-pro-32", "model": "NUC 14 Pro"},
        {"id": 2, "slug": "nuc-14-pro-16", "model": "NUC 14 Pro"},
    ],
    "/api/dcim/device-roles/": [{"id": 1, "slug": "edge-store", "name": "edge store"}],
    "/api/dcim/regions/": [
        {"id": 1, "slug": "europe", "parent": None},
        {"id": 2, "slug": "north", "parent": {"id": 1}},
    ],
    "/api/dcim/sites/": [
        {"id": 1, "slug": "kiel", "region": {"id": 2}, "time_zone": "Europe/Berlin", "prefix_count": 0},
        {"id": 2, "slug": "depot", "region": None, "time_zone": None, "prefix_count": 0},
    ],
}


class _Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        listed = self.headers["Authorization"] == f"Token {TOKEN}"
        answer: dict[str, Any] = {"results": LISTS.get(path, []) if listed else [], "next": None}
        if path == "/api/status/":
            answer = {"netbox-version": "4.4.1"}
        elif path == "/api/schema/":
            lists = ("/api/dcim/devices/", "/api/virtualization/virtual-machines/")
            paths = {name: {"get": {"parameters": PARAMETERS}} for name in lists}
            answer = {"info": {"version": "4.4.1"}, "paths": paths}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def netbox() -> Iterator[str]:
    """Yield the URL of a running one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
