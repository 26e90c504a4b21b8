"""A real CNCF registry, from the image of the lab's depot, with TLS and a login, on a free loopback port."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

DEPOT = f"{os.environ.get('OVMS_LAB_NAME', 'ovms-lab')}/depot"
LABEL = "ovms-lab-test=1"
USER = "ovms-edge"
PASSWORD = "only-in-tests"
# bcrypt of PASSWORD: the registry's htpasswd takes nothing else, and Python 3.13 has no crypt to make it.
HTPASSWD = f"{USER}:$2b$04$lC3IY8USBFVr4FerIEdhWOeUuTNi9yFgqvyjRnkQfXPWNO.WsSeHe\n"
START_SECONDS = 20.0
TOKEN_SECONDS = 300
SERVICE = "depot"
ISSUER = "tests"


@dataclass
class Registry:
    """``credentials`` is a Docker config.json; ``root`` is where the blobs lie."""

    url: str
    host: str
    ca: Path
    credentials: Path
    root: Path
    mounts: tuple[str, ...]
    config: Path
    container: str = ""

    def start(self) -> None:
        self.container = f"ovms-lab-test-registry-{uuid.uuid4().hex[:12]}"
        command = [
            *("docker", "run", "--rm", "--detach", "--name", self.container, "--label", LABEL),
            *("--network", "host", "--user", f"{os.geteuid()}:{os.getegid()}", "--cap-drop", "ALL"),
            *(word for mount in self.mounts for word in ("--volume", mount)),
            *("--pull", "never", "--entrypoint", "docker-registry", DEPOT, "serve", str(self.config)),
        ]
        started = subprocess.run(command, capture_output=True, text=True, check=False)
        if started.returncode:
            pytest.fail(f"no registry from the image {DEPOT}: {started.stderr.strip()}; run make demo")
        address, port = self.host.split(":")
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection((address, int(port)), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    self.stop()
                    raise
                threading.Event().wait(0.05)

    def stop(self) -> None:
        if self.container:
            # --rm may have been quicker; --force takes that for done.
            subprocess.run(["docker", "rm", "--force", self.container], check=True, capture_output=True)
            self.container = ""


@dataclass(frozen=True)
class Tls:
    """A private CA and a certificate of 127.0.0.1 from it."""

    ca: Path
    certificate: Path
    key: Path


def make_tls(directory: Path, *names: str) -> Tls:
    """Make a CA and a certificate of 127.0.0.1 and ``names``, with the openssl program."""
    tls = Tls(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    new_key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    ca_key = directory / "ca.key"
    _run([*new_key, "-subj", "/CN=test CA", "-keyout", ca_key, "-out", tls.ca])
    alternatives = ",".join(["IP:127.0.0.1", *(f"DNS:{name}" for name in names)])
    subject = ["-subj", "/CN=127.0.0.1", "-addext", f"subjectAltName={alternatives}"]
    usage = ["-addext", "basicConstraints=critical,CA:FALSE"]
    signed = ["-CA", tls.ca, "-CAkey", ca_key, "-keyout", tls.key, "-out", tls.certificate]
    _run([*new_key, *subject, *usage, *signed])
    return tls


def _run(arguments: list[str | Path], data: bytes | None = None) -> bytes:
    return subprocess.run(arguments, input=data, check=True, capture_output=True).stdout


def write_credentials(path: Path, host: str, user: str = USER, password: str = PASSWORD) -> Path:
    """Write a Docker config.json."""
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return path


@contextmanager
def run_registry(directory: Path, tls: Tls, token_realm: str | None = None) -> Iterator[Registry]:
    """Yield a running registry: Basic login, or bearer tokens from ``token_realm``."""
    host = f"127.0.0.1:{free_port()}"
    root = directory / "blobs"
    root.mkdir()
    htpasswd = directory / "htpasswd"
    htpasswd.write_text(HTPASSWD)
    basic = {"htpasswd": {"realm": "test", "path": str(htpasswd)}}
    token = {
        "token": {
            "realm": token_realm,
            "service": SERVICE,
            "issuer": ISSUER,
            "rootcertbundle": str(tls.certificate),
        }
    }
    config = directory / "registry.yml"  # JSON is YAML
    config.write_text(
        json.dumps(
            {
                "version": 0.1,
                "storage": {"filesystem": {"rootdirectory": str(root)}},
                "http": {"addr": host, "tls": {"certificate": str(tls.certificate), "key": str(tls.key)}},
                "auth": token if token_realm else basic,
            }
        )
    )
    credentials = write_credentials(directory / "credentials.json", host)
    # Paths are the same inside, so that the configuration is true on both sides; only the blobs are written.
    read_only = (directory, tls.certificate.parent)
    mounts = (*(f"{path}:{path}:ro" for path in read_only), f"{root}:{root}")
    registry = Registry(f"https://{host}", host, tls.ca, credentials, root, mounts, config)
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def run_token_server(tls: Tls) -> Iterator[str]:
    """Yield the realm of a server that gives USER signed tokens, as the registry's token login wants them.

    Format: distribution/distribution v2.8.2, docs/spec/auth/jwt.md; the key is told by ``x5c``.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            if self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            query = parse_qs(urlsplit(self.path).query)
            body = json.dumps({"token": _sign_token(tls, query)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}/token"
    finally:
        server.shutdown()
        server.server_close()


def _sign_token(tls: Tls, query: dict[str, list[str]]) -> str:
    now = int(time.time())
    access = []
    for scope in query.get("scope", []):
        kind, name, actions = scope.split(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    der = ssl.PEM_cert_to_DER_cert(tls.certificate.read_text())
    header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
    claims = {
        "iss": ISSUER,
        "sub": USER,
        "aud": query["service"][0],
        "iat": now,
        "nbf": now - 10,
        "exp": now + TOKEN_SECONDS,
        "jti": str(time.monotonic_ns()),
        "access": access,
    }
    signing_input = f"{_encode(header)}.{_encode(claims)}"
    signature = _run(["openssl", "dgst", "-sha256", "-sign", tls.key], signing_input.encode())
    return f"{signing_input}.{_base64url(signature)}"


def _encode(document: dict[str, Any]) -> str:
    return _base64url(json.dumps(document).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
