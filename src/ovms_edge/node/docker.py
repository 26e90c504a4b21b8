"""Docker Engine API over its UNIX socket, with the standard library.

Endpoints are those of API 1.41 (Docker 20.10), unchanged up to 1.50 (Docker 28); each call names the version
that the engine itself speaks.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from ovms_edge.errors import EdgeError
from ovms_edge.oci import Credentials

SOCKET = Path("/var/run/docker.sock")
_TIMEOUT_SECONDS = 60
_ALIVE_SECONDS = 5
_ALIVE_POLL_SECONDS = 0.2
_PULL_TIMEOUT_SECONDS = 600  # without one line of progress
_LOG_HEADER = struct.Struct(">BxxxL")  # stream type, size of what follows


class DockerError(EdgeError):
    """The engine refused; ``status`` is the HTTP status it answered."""

    def __init__(self, reason: str, remedy: str, status: int) -> None:
        super().__init__(reason, remedy)
        self.status = status


class EngineLostError(EdgeError):
    """The engine does not run, or broke off in mid-answer."""


class Docker:
    """The engine behind ``socket_path``."""

    def __init__(self, socket_path: Path = SOCKET, timeout: float = _TIMEOUT_SECONDS) -> None:
        """``timeout``: seconds for what the engine answers at once; what takes longer has its own."""
        self._socket_path = socket_path
        self._timeout = timeout
        self._prefix = ""

    def version(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the engine's own ``/version``; raises EdgeError if it does not run."""
        with self._request("GET", "/version", timeout=timeout) as response:
            return self._object(response)

    def info(self, timeout: float = _TIMEOUT_SECONDS) -> dict[str, Any]:
        """Return the engine's own ``/info``; raises EdgeError if it does not run."""
        with self._request("GET", "/info", timeout=timeout) as response:
            return self._object(response)

    def wait_until_it_runs(self, seconds: float) -> None:
        """Return once the engine answers; raises EdgeError if it does not within ``seconds``."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.version(timeout=_ALIVE_SECONDS)
            except EngineLostError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_ALIVE_POLL_SECONDS)
            else:
                return

    def container(self, name: str) -> dict[str, Any] | None:
        """Return ``docker inspect`` of a container; None if there is none."""
        return self._get_or_none(f"/containers/{quote(name)}/json")

    def containers(self) -> list[dict[str, Any]]:
        """Return the engine's list of all containers, running or not."""
        with self._request("GET", self._path("/containers/json", all="1")) as response:
            return self._list(response)

    def images(self) -> list[dict[str, Any]]:
        """Return the engine's list of images."""
        with self._request("GET", self._path("/images/json")) as response:
            return self._list(response)

    def networks(self) -> list[dict[str, Any]]:
        """Return the engine's list of networks, without what is in them."""
        with self._request("GET", self._path("/networks")) as response:
            return self._list(response)

    def volumes(self) -> list[dict[str, Any]]:
        """Return the engine's list of volumes."""
        with self._request("GET", self._path("/volumes")) as response:
            return self._object(response)["Volumes"] or []

    def remove_network(self, name: str) -> None:
        """Remove a network that nothing is in."""
        self._call("DELETE", self._path(f"/networks/{quote(name)}"))

    def remove_image(self, reference: str) -> None:
        """Take a name off an image, and remove it with its last; refused while a container is of it."""
        self._call("DELETE", self._path(f"/images/{quote(reference)}"))

    def image(self, reference: str) -> dict[str, Any] | None:
        """Return ``docker inspect`` of an image; None if it is not here."""
        return self._get_or_none(f"/images/{quote(reference)}/json")

    def network(self, name: str) -> dict[str, Any] | None:
        """Return ``docker network inspect``; None if there is none."""
        return self._get_or_none(f"/networks/{quote(name)}")

    def create_container(self, name: str, body: Mapping[str, Any]) -> None:
        """Create a container; the engine's warnings are not errors."""
        self._call("POST", self._path("/containers/create", name=name), body)

    def create_network(self, body: Mapping[str, Any]) -> None:
        """Create a network."""
        self._call("POST", self._path("/networks/create"), body)

    def start(self, name: str) -> None:
        """Start a container; a running one is left alone."""
        self._call("POST", self._path(f"/containers/{quote(name)}/start"))

    def stop(self, name: str, timeout_seconds: int) -> None:
        """Stop a container: SIGTERM, and SIGKILL after ``timeout_seconds``."""
        path = self._path(f"/containers/{quote(name)}/stop", t=str(timeout_seconds))
        self._call("POST", path, timeout=timeout_seconds + _TIMEOUT_SECONDS)

    def set_restart_policy(self, name: str, policy: str) -> None:
        """Set what the engine does when the container ends or the host starts: ``always`` or ``no``."""
        self._call(
            "POST", self._path(f"/containers/{quote(name)}/update"), {"RestartPolicy": {"Name": policy}}
        )

    def set_cpu_shares(self, name: str, shares: int) -> None:
        """Set how much of a busy processor the container gets; 1024 is what every container gets."""
        self._call("POST", self._path(f"/containers/{quote(name)}/update"), {"CpuShares": shares})

    def memory_bytes(self, name: str) -> int | None:
        """Return what a running container takes; None if the engine does not say."""
        path = self._path(f"/containers/{quote(name)}/stats", **{"stream": "0", "one-shot": "1"})
        with self._request("GET", path) as response:
            used = self._object(response).get("memory_stats", {}).get("usage")
        return int(used) if used is not None else None

    def remove(self, name: str) -> None:
        """Remove a container, running or not, with its anonymous volumes."""
        self._call("DELETE", self._path(f"/containers/{quote(name)}", force="1", v="1"))

    def log_lines(self, name: str, since: str = "0", tail: str = "all") -> Iterator[str]:
        """Yield lines of a container's log from ``since`` (seconds since 1970, fractions allowed) on."""
        path = self._path(f"/containers/{quote(name)}/logs", stdout="1", stderr="1", since=since, tail=tail)
        with self._request("GET", path) as response:
            yield from _lines(response)

    def pull(self, reference: str, credentials: Credentials | None) -> None:
        """Fetch an image; raises EdgeError with what the engine reports, even inside a 200 answer."""
        repository, tag = split_reference(reference)
        headers = {}
        if credentials:
            document = {
                "username": credentials.user,
                "password": credentials.password,
                "serveraddress": registry_of(reference),
            }
            headers["X-Registry-Auth"] = base64.urlsafe_b64encode(json.dumps(document).encode()).decode()
        path = self._path("/images/create", fromImage=repository, tag=tag)
        try:
            with self._request("POST", path, headers=headers, timeout=_PULL_TIMEOUT_SECONDS) as response:
                for line in response:
                    error = json.loads(line).get("error") if line.strip() else None
                    if error:
                        raise _not_pulled(reference, error)
        except DockerError as error:
            raise _not_pulled(reference, error.reason.partition(": ")[2]) from error

    def load(self, archive: Iterable[bytes]) -> list[str]:
        """Load images from a tar; return what the engine says it loaded: tags or ids."""
        headers = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
        names = []
        path = self._path("/images/load", quiet="1")
        with self._request(
            "POST", path, headers=headers, timeout=_PULL_TIMEOUT_SECONDS, stream=archive
        ) as said:
            for line in said:
                document = json.loads(line) if line.strip() else {}
                if "error" in document:
                    raise EdgeError(
                        f"image cannot be loaded: {document['error']}", "see journalctl -u docker"
                    )
                text = str(document.get("stream", "")).strip()
                if text.startswith("Loaded image"):
                    names.append(text.partition(": ")[2])
        return names

    def import_image(self, reference: str, archive: bytes) -> None:
        """Make an image of one layer out of a tar."""
        repository, tag = split_reference(reference)
        path = self._path("/images/create", fromSrc="-", repo=repository, tag=tag)
        headers = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
        with self._request("POST", path, headers=headers, stream=(archive,)) as response:
            response.read()

    def _get_or_none(self, path: str) -> dict[str, Any] | None:
        try:
            with self._request("GET", self._path(path)) as response:
                return self._object(response)
        except DockerError as error:
            if error.status == 404:
                return None
            raise

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> None:
        with self._request(method, path, body, timeout=timeout) as response:
            response.read()

    def _path(self, path: str, **query: str) -> str:
        if not self._prefix:
            self._prefix = f"/v{self.version()['ApiVersion']}"
        return f"{self._prefix}{path}" + (f"?{urlencode(query)}" if query else "")

    @contextmanager
    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        stream: Iterable[bytes] | None = None,
    ) -> Iterator[HTTPResponse]:
        connection = _UnixConnection(self._socket_path, timeout or self._timeout)
        try:
            data = json.dumps(body).encode() if body is not None else None
            send = {**(headers or {}), **({"Content-Type": "application/json"} if data else {})}
            connection.request(method, path, stream or data, send, encode_chunked=stream is not None)
            response = connection.getresponse()
            if response.status >= 400:
                raise _refused(response, method, path)
            yield response
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise EngineLostError(
                f"no Docker Engine behind {self._socket_path}",
                "start it (systemctl start docker), or install it with the role ovms.edge.docker_engine",
            ) from error
        except PermissionError as error:
            raise EdgeError(
                f"{self._socket_path} is not open to this user", "run ovms-node as root"
            ) from error
        except (OSError, HTTPException) as error:
            raise EngineLostError(
                f"Docker Engine broke off {method} {path.partition('?')[0]}: {error or type(error).__name__}",
                "see journalctl -u docker, then call again",
            ) from error
        finally:
            connection.close()

    @staticmethod
    def _list(response: HTTPResponse) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(response.read())
        return found

    @staticmethod
    def _object(response: HTTPResponse) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(response.read())
        return document


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def split_reference(reference: str) -> tuple[str, str]:
    """Return repository and tag (or digest) of an image reference; the tag is ``latest`` if there is none."""
    repository, at, digest = reference.partition("@")
    head, colon, tag = repository.rpartition(":")
    has_tag = bool(colon) and "/" not in tag
    repository = head if has_tag else repository
    return (repository, digest) if at else (repository, tag if has_tag else "latest")


def registry_of(reference: str) -> str:
    """Return HOST or HOST:PORT of an image reference, docker.io where it names none."""
    first, slash, _ = reference.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    return first if named else "docker.io"


def _not_pulled(reference: str, cause: str) -> EdgeError:
    return EdgeError(
        f"image {reference} cannot be pulled: {cause}",
        "check its name, and registry, CA and password in docker_engine_registries",
    )


def _refused(response: HTTPResponse, method: str, path: str) -> DockerError:
    text = response.read().decode(errors="replace").strip()
    try:
        text = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        text = text[:300]
    return DockerError(
        f"Docker Engine answers {response.status} to {method} {path.partition('?')[0]}: {text}",
        "see journalctl -u docker",
        response.status,
    )


def _lines(response: HTTPResponse) -> Iterator[str]:
    """Undo the framing of a log without a terminal; a line may span frames."""
    buffers = {1: b"", 2: b""}
    while len(header := response.read(_LOG_HEADER.size)) == _LOG_HEADER.size:
        stream, size = _LOG_HEADER.unpack(header)
        *lines, buffers[stream] = (buffers.get(stream, b"") + response.read(size)).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
    for rest in buffers.values():
        if rest:
            yield rest.decode(errors="replace")
