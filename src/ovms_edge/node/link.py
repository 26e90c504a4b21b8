"""HTTP connections that are kept alive: TLS with an authority of one's own, proxies of the environment.

``http.client`` and not ``urllib.request``, which opens a connection for every request.
"""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from contextlib import suppress
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from types import TracebackType
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import ovms_edge
from ovms_edge.errors import EdgeError

_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_AGENT = f"ovms-node/{ovms_edge.__version__}"


class Response:
    """An answer whose body is read by its user; the connection is kept if nothing of it is left."""

    def __init__(self, link: Link, key: str, connection: HTTPConnection, answer: HTTPResponse) -> None:
        self._link, self._key, self._connection, self._answer = link, key, connection, answer
        self.status = answer.status
        self.headers: Message = answer.headers

    @property
    def left(self) -> int | None:
        """Bytes of the body still to come; None if the server did not say."""
        return self._answer.length

    def readinto(self, buffer: memoryview) -> int:
        """Read into ``buffer``; 0 at the end of the body, or of the connection."""
        return self._answer.readinto(buffer)

    def read(self, limit: int) -> bytes:
        """Return the whole body, ``limit`` bytes of it at most; raises OSError if the connection breaks."""
        data = self._answer.read(limit)
        if len(data) < limit and self._answer.length:
            raise ConnectionResetError(f"connection ended {self._answer.length} bytes early")
        return data

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # all read: http.client has closed the answer
        self._link.release(self._key, self._connection, keep=error is None and self._answer.isclosed())


class Link:
    """Connections to any number of hosts, used by several threads.

    ``receive_buffer`` in bytes bounds what the kernel takes ahead of what is read; None: as it likes.
    """

    def __init__(self, ca_file: Path | None, receive_buffer: int | None = None) -> None:
        self._tls = _tls(ca_file)
        self._receive_buffer = receive_buffer
        self._lock = threading.Lock()
        self._idle: dict[str, list[HTTPConnection]] = {}
        self._all: set[HTTPConnection] = set()

    def get(self, url: str, headers: dict[str, str]) -> Response:
        """Send GET; raises OSError or HTTPException. Redirects are the caller's."""
        parts = urlsplit(url)
        key = f"{parts.scheme}://{parts.netloc}"
        connection, proxied = self._take(key), _proxy_of(parts)
        if connection is not None:
            try:
                return self._send(key, connection, parts, headers, proxied)
            except (OSError, HTTPException):
                pass  # kept too long: the server has closed it
        return self._send(key, self._connect(parts, proxied), parts, headers, proxied)

    def release(self, key: str, connection: HTTPConnection, *, keep: bool) -> None:
        """Take back a connection; ``keep``: it can carry another request."""
        with self._lock:
            if keep and connection.sock is not None:
                self._idle.setdefault(key, []).append(connection)
                return
            self._all.discard(connection)
        connection.close()

    def close(self) -> None:
        """Cut every connection, those in use too: who reads from one gets an error or its end."""
        with self._lock:
            connections, self._idle = list(self._all), {}
            self._all.clear()
        for connection in connections:
            if connection.sock is not None:
                with suppress(OSError):  # closed by the other side already
                    connection.sock.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _take(self, key: str) -> HTTPConnection | None:
        with self._lock:
            idle = self._idle.get(key)
            return idle.pop() if idle else None

    def _connect(self, parts: SplitResult, proxy: SplitResult | None) -> HTTPConnection:
        host, port = (proxy or parts).hostname or "", (proxy or parts).port
        connection: HTTPConnection
        if parts.scheme == "https":
            secure = HTTPSConnection(host, port, timeout=_CONNECT_SECONDS, context=self._tls)
            if proxy:
                secure.set_tunnel(parts.hostname or "", parts.port or 443, _proxy_authorization(proxy))
            connection = secure
        else:
            connection = HTTPConnection(host, port, timeout=_CONNECT_SECONDS)
        connection.connect()
        connection.sock.settimeout(_READ_SECONDS)
        if self._receive_buffer:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        with self._lock:
            self._all.add(connection)
        return connection

    def _send(
        self,
        key: str,
        connection: HTTPConnection,
        parts: SplitResult,
        headers: dict[str, str],
        proxy: SplitResult | None,
    ) -> Response:
        target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        sent = {"User-Agent": _AGENT, **headers}
        if proxy and parts.scheme == "http":
            target = parts._replace(fragment="").geturl()
            sent |= _proxy_authorization(proxy)
        try:
            connection.request("GET", target, headers=sent)
            return Response(self, key, connection, connection.getresponse())
        except BaseException:
            self.release(key, connection, keep=False)
            raise


def _proxy_of(parts: SplitResult) -> SplitResult | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for a URL."""
    proxy = getproxies().get(parts.scheme)
    if not proxy or proxy_bypass(parts.netloc):
        return None
    found = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if found.scheme != "http" or not found.hostname:
        raise EdgeError(
            f"proxy {found.scheme}://{found.hostname or ''} for {parts.scheme} is not of a kind known here",
            f"set {parts.scheme.upper()}_PROXY to http://HOST:PORT",
        )
    return found


def _proxy_authorization(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(user.encode()).decode()}


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise EdgeError(
            f"depot CA {ca_file} is not readable: {error}",
            "put the PEM text of the authority into the inventory (node_agent_depot_ca)",
        ) from error
