"""A proxy before a real registry that does to answers what links, proxies and object stores do."""

from __future__ import annotations

import http.client
import json
import random
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.e2e.registry import Registry
from tests.loopback import serving

_PIECE = 16 << 10
_HOP_HEADERS = {"connection", "transfer-encoding", "keep-alive", "content-length", "host"}


@dataclass
class FaultProxy:
    """``faults`` are what the next answers about blobs suffer, one each; then all is well.

    ``sent_bytes`` counts bodies of blobs; ``store`` is the URL of an object store that it may redirect to.
    """

    registry: Registry
    url: str = ""
    store: str = ""
    faults: list[str] = field(default_factory=list)
    always: str = ""
    random: random.Random = field(default_factory=lambda: random.Random(11))  # noqa: S311  reproducible
    sent_bytes: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)
    suffered: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self) -> str:
        with self.lock:
            found = self.faults.pop(0) if self.faults else self.always
            self.suffered += bool(found)
            return found


@contextmanager
def run_fault_proxy(registry: Registry, *, strip_authorization: bool = False) -> Iterator[FaultProxy]:
    """Yield a running proxy on a loopback port, over plain HTTP."""
    proxy = FaultProxy(registry)
    context = ssl.create_default_context(cafile=str(registry.ca))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            about_blob = "/blobs/" in self.path
            fault = proxy.next_fault() if about_blob else ""
            with proxy.lock:
                proxy.requests.append(dict(self.headers))
            if fault == "reset":
                return self.hang_up()
            if fault in ("416", "429", "503", "500"):
                return self.answer(int(fault), {"Retry-After": "0"}, b"{}")
            if fault == "redirect":
                return self.answer(307, {"Location": f"{proxy.store}{self.path}?X-Signature=s3cret"}, b"")
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in _HOP_HEADERS
            }
            if fault == "no-range":
                headers = {name: value for name, value in headers.items() if name.lower() != "range"}
            if strip_authorization:
                headers["Authorization"] = _basic(registry)
            return self.forward(headers, fault, about_blob)

        def forward(self, headers: dict[str, str], fault: str, about_blob: bool) -> None:
            connection = http.client.HTTPSConnection(registry.host, context=context, timeout=30)
            try:
                connection.request("GET", self.path.partition("?")[0], headers=headers)
                answer = connection.getresponse()
                body = answer.read()
            finally:
                connection.close()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_HEADERS}
            if answer.status not in (200, 206) or not about_blob:
                return self.answer(answer.status, kept, body)
            if fault == "wrong-byte" and body:
                at = proxy.random.randrange(len(body))
                body = body[:at] + bytes([body[at] ^ 0x40]) + body[at + 1 :]
            if fault == "wrong-range" and "Content-Range" in kept:
                kept["Content-Range"] = "bytes 1-1/2"
            cut = proxy.random.randrange(len(body) + 1) if fault in ("truncate", "close") else len(body)
            self.answer(answer.status, kept, body[:cut], announced=len(body))
            with proxy.lock:
                proxy.sent_bytes += cut
            if cut < len(body):
                return self.hang_up(abruptly=fault == "truncate")
            return None

        def answer(
            self, status: int, headers: dict[str, str], body: bytes, announced: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if announced is None else announced))
            self.end_headers()
            for start in range(0, len(body), _PIECE):
                self.wfile.write(body[start : start + _PIECE])

        def hang_up(self, abruptly: bool = True) -> None:
            self.close_connection = True
            self.wfile.flush()
            if abruptly:  # a reset and no end
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

    with serving(Handler) as host:
        proxy.url = f"http://{host}"
        yield proxy


def _basic(registry: Registry) -> str:
    auths = json.loads(registry.credentials.read_text())["auths"]
    return f"Basic {auths[urlsplit(registry.url).netloc]['auth']}"
