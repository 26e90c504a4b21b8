"""An HTTP proxy as offices have them: CONNECT for TLS, absolute URLs for the rest, a login if wanted."""

from __future__ import annotations

import base64
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.loopback import serving

_PIECE_BYTES = 64 << 10
_OF_THE_HOP = {"proxy-authorization", "connection", "host"}


@dataclass
class WebProxy:
    """``asked`` is HOST:PORT of every request that was let through; ``login`` is USER:PASSWORD or empty."""

    host: str = ""
    login: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.login}{'@' if self.login else ''}{self.host}"


@contextmanager
def run_web_proxy(login: str = "") -> Iterator[WebProxy]:
    """Yield a running proxy on a loopback port."""
    proxy = WebProxy(login=login)
    expected = "Basic " + base64.b64encode(login.encode()).decode() if login else None

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def admitted(self, host: str) -> bool:
            if expected and self.headers.get("Proxy-Authorization") != expected:
                self.send_response(407)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return False
            proxy.asked.append(host)
            return True

        def do_CONNECT(self) -> None:
            if not self.admitted(self.path):
                return
            host, port = self.path.split(":")
            with socket.create_connection((host, int(port))) as server:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pump, args=(server, self.connection), daemon=True)
                back.start()
                _pump(self.connection, server)
                back.join()
            self.close_connection = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if not self.admitted(parts.netloc):
                return
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _OF_THE_HOP}
            connection = http.client.HTTPConnection(parts.netloc, timeout=30)
            connection.request("GET", parts._replace(scheme="", netloc="").geturl(), headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as host:
        proxy.host = host
        yield proxy


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_PIECE_BYTES):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
