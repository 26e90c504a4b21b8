"""HTTP to one server: one request a connection, no retries, no proxy.

The address given is the one called. Stores stand in the local network or behind a tunnel; a proxy that an
environment variable names for the way out would only be in the way, so HTTP_PROXY and NO_PROXY count for
nothing here (http.client reads neither).
"""

from __future__ import annotations

import io
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ovms_edge.errors import EdgeError, UsageError

_ERROR_TEXT_BYTES = 1 << 16
_WRONG_KEY = "invalid or missing api-key"  # model_server v2025.4.1, src/http_rest_api_handler.cpp


class OvmsUnreachableError(EdgeError):
    """Nothing answers, or the connection broke."""


class OvmsRefusedError(EdgeError):
    """OVMS answered with an error, or with something that is not its protocol."""


@dataclass(frozen=True)
class Server:
    """Where a server is, and what it takes to be let in."""

    url: str
    ca_file: Path | None = None
    api_key: str | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            (parts.hostname or "").encode("idna")  # a label that is too long is a UnicodeError
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            valid = valid and parts.path.isascii() and self.url.isprintable() and " " not in self.url
        except ValueError:
            valid = False
        if not valid or parts.username or parts.query or parts.fragment:
            raise UsageError(f"{self.url!r} is no URL of a server", "write http://HOST:PORT or https://HOST")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise UsageError("the API key is not printable ASCII", "use the key that OVMS was started with")

    @contextmanager
    def request(
        self, method: str, path: str, timeout: float, body: Mapping[str, Any] | None = None
    ) -> Iterator[HTTPResponse]:
        """Send a request and yield the response, if it is 200.

        ``timeout`` is in seconds, from the connection to the last byte that is read.
        Raises OvmsUnreachableError and OvmsRefusedError.
        """
        deadline = time.monotonic() + timeout
        connection = self._connect(timeout)
        try:
            connection.connect()
            timed: Any = _TimedSocket(connection.sock, deadline)
            connection.sock = timed
            data = json.dumps(body).encode() if body is not None else None
            connection.request(method, urlsplit(self.url).path.rstrip("/") + path, data, self._headers(data))
            response = connection.getresponse()
            if response.status != 200:
                raise self._refused(method, path, response)
            yield response
        except TimeoutError as error:
            raise self.silent(f"{method} {path}", timeout) from error
        except ssl.SSLCertVerificationError as error:
            raise OvmsUnreachableError(
                f"the certificate of {self.url} is not trusted: {error.verify_message}",
                "give the CA that signed it with --ca, and the name that the certificate has as host",
            ) from error
        except (OSError, HTTPException) as error:
            raise OvmsUnreachableError(
                f"OVMS at {self.url} does not answer {method} {path}: {error or type(error).__name__}",
                "see whether its container runs, and its log",
            ) from error
        finally:
            connection.close()

    def silent(self, what: str, timeout: float) -> OvmsUnreachableError:
        """Return the error for an answer that took longer than ``timeout`` seconds."""
        return OvmsUnreachableError(
            f"OVMS at {self.url} did not answer {what} within {timeout:g} s",
            "see the log of its container, or allow more time",
        )

    def json(self, path: str, data: bytes) -> Any:
        """Return the JSON in an answer, whatever its shape; raises OvmsRefusedError if it is none."""
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self.malformed(path, data[:200]) from error

    def malformed(self, path: str, found: object) -> OvmsRefusedError:
        """Return the error for an answer that OVMS does not give."""
        return OvmsRefusedError(
            f"{path} at {self.url} is not what OVMS answers: {str(found)[:200]}",
            "see whether another program listens on this port",
        )

    def _connect(self, timeout: float) -> HTTPConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return HTTPConnection(host, parts.port, timeout=timeout)
        return HTTPSConnection(host, parts.port, timeout=timeout, context=self._tls())

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise EdgeError(
                f"{self.ca_file} is not readable as CA certificates: {error}", "give a PEM file"
            ) from error

    def _headers(self, data: bytes | None) -> dict[str, str]:
        # without a content type OVMS takes the model's name from the URI
        headers = {"Content-Type": "application/json"} if data else {}
        return {**headers, "Authorization": f"Bearer {self.api_key}"} if self.api_key else headers

    def _refused(self, method: str, path: str, response: HTTPResponse) -> OvmsRefusedError:
        text = error_text(response.read(_ERROR_TEXT_BYTES).decode(errors="replace").strip())
        if _WRONG_KEY in text:
            given = "is not the one that it wants" if self.api_key else "is missing"
            return OvmsRefusedError(
                f"OVMS at {self.url} wants an API key, and yours {given} "
                f"({method} {path} answered {response.status}, its way to say 401)",
                "give the content of the file of its --api_key_file",
            )
        return OvmsRefusedError(
            f"{method} {path} answered {response.status}: {text}", "see the log of the container"
        )


class _TimedSocket:
    """What http.client uses of a socket, all of it until one deadline (a timeout is for one read)."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline

    def sendall(self, data: bytes) -> None:
        _limit(self._sock, self._deadline)
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._sock, self._deadline))

    def close(self) -> None:
        self._sock.close()


class _TimedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open until both are closed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        _limit(self._sock, self._deadline)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _limit(sock: socket.socket, deadline: float) -> None:
    rest = deadline - time.monotonic()
    if rest <= 0:
        raise TimeoutError
    sock.settimeout(rest)


def error_text(text: str) -> str:
    """Return the message in OVMS's error document, or the start of what came instead."""
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return text[:300]
