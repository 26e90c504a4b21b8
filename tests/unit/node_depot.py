"""A depot over real HTTP that misbehaves on demand, and a signed release in it."""

from __future__ import annotations

import base64
import hashlib
import json
import lzma
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path

from ovms_edge.chunks import ChunkIndex
from ovms_edge.manifest import (
    SIGNATURE_NAMESPACE,
    Manifest,
    Memory,
    Packed,
    ReleaseFile,
    ReleaseRef,
    Residual,
)
from ovms_edge.node.config import DepotServer, NodeConfig, Trust
from ovms_edge.oci import OCI_MANIFEST, RELEASE_MANIFEST, RELEASE_SIGNATURE
from ovms_edge.residual import difference, write_table
from tests.loopback import serving

USER, PASSWORD = "store", "s3cret"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
TOKEN = "Bearer t0ken"
_PIECE = 4096


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class FakeDepot:
    """What it holds and how it behaves. ``cuts``: bytes after which the next blob answers break off."""

    url: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, bytes] = field(default_factory=dict)
    auth: str = ""  # "", basic or bearer
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)  # statuses of the next answers
    token_failures: list[int] = field(default_factory=list)  # of the next answers of the token server
    retry_after: str = ""  # what failures say
    strip: str = ""  # what begins the targets of one that is asked as a proxy
    connections: int = 0
    redirect_to: str = ""
    bytes_a_second: int = 0
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sent_blob_bytes: int = 0

    def put(self, data: bytes) -> str:
        self.blobs[sha256(data)] = data
        return f"sha256:{sha256(data)}"


@contextmanager
def serve(depot: FakeDepot) -> Iterator[FakeDepot]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            depot.connections += 1
            super().setup()

        def do_GET(self) -> None:
            self.path = self.path.removeprefix(depot.strip)
            depot.seen.append((self.path, dict(self.headers)))
            if depot.failures:
                after = {"Retry-After": depot.retry_after} if depot.retry_after else {}
                self.reply(depot.failures.pop(0), b"{}", after)
            elif self.path.startswith("/token") and depot.token_failures:
                self.reply(depot.token_failures.pop(0), b"{}")
            elif self.path.startswith("/token"):
                good = self.headers.get("Authorization") == BASIC
                self.reply(200 if good else 401, json.dumps({"token": TOKEN.split()[1]}).encode())
            elif not self.authorized():
                self.challenge()
            elif "/blobs/" in self.path:
                self.blob(self.path.rpartition(":")[2])
            else:
                data = depot.tags.get(self.path)
                self.reply(200 if data else 404, data or b"{}")

        def authorized(self) -> bool:
            wanted = {"basic": BASIC, "bearer": TOKEN}.get(depot.auth)
            return wanted is None or self.headers.get("Authorization") == wanted

        def challenge(self) -> None:
            bearer = f'Bearer realm="{depot.url}/token",service="depot",scope="repository:models/vlm:pull"'
            kind = 'Basic realm="depot"' if depot.auth == "basic" else bearer
            self.reply(401, b"{}", {"WWW-Authenticate": kind})

        def blob(self, digest: str) -> None:
            if depot.redirect_to:
                return self.reply(307, b"", {"Location": f"{depot.redirect_to}{self.path}"})
            data = depot.blobs.get(digest)
            if data is None:
                return self.reply(404, b"{}")
            start, end = 0, len(data)
            if depot.ranges and (wanted := self.headers.get("Range")):
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                start, end = int(first), min(int(last) + 1, len(data))
                if start >= len(data):
                    return self.reply(416, b"{}")
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(end - start))
            self.end_headers()
            cut = min(start + depot.cuts.pop(0), end) if depot.cuts else end
            for position in range(start, cut, _PIECE):
                piece = data[position : min(position + _PIECE, cut)]
                self.wfile.write(piece)
                depot.sent_blob_bytes += len(piece)
                if depot.bytes_a_second:
                    time.sleep(len(piece) / depot.bytes_a_second)
            self.close_connection = cut < end
            return None

        def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as host:
        depot.url = f"http://{host}"
        yield depot


@dataclass
class Publisher:
    """Signs releases with a key of its own and puts them into depots."""

    directory: Path

    def __post_init__(self) -> None:
        self.directory.mkdir()
        self.key = self.directory / "key"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "builder", "-f", str(self.key)], check=True
        )

    def allowed(self, options: str = f'namespaces="{SIGNATURE_NAMESPACE}"') -> str:
        return f"builder {options} {self.key.with_suffix('.pub').read_text()}"

    def signature(self, data: bytes, namespace: str = SIGNATURE_NAMESPACE) -> bytes:
        command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(self.key), "-n", namespace]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout

    def publish(
        self,
        depot: FakeDepot,
        manifest: Manifest,
        files: dict[str, bytes],
        tag: str = "",
        further: Iterable[bytes] = (),
    ) -> None:
        data = manifest.to_bytes()
        for content in (*files.values(), *further):
            depot.put(content)
        layers = [
            {"mediaType": RELEASE_MANIFEST, "digest": depot.put(data)},
            {"mediaType": RELEASE_SIGNATURE, "digest": depot.put(self.signature(data))},
        ]
        put_oci(depot, manifest.ref, layers, tag or manifest.version)


def put_oci(depot: FakeDepot, ref: ReleaseRef, layers: list[dict[str, str]], tag: str) -> None:
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers}
    depot.tags[f"/v2/models/{ref.name}/manifests/{tag}"] = json.dumps(document).encode()


def manifest_of(files: dict[str, bytes], version: str = "1.0.0", **changes: object) -> Manifest:
    values: dict[str, object] = {
        "name": "vlm",
        "version": version,
        "created": "2026-01-01T00:00:00Z",
        "source": {},
        "ovms_versions": ("2025.4.1",),
        "graph": {"max_num_seqs": 1},
        "memory": Memory(1000, 0),
        "files": tuple(ReleaseFile(path, len(data), sha256(data)) for path, data in sorted(files.items())),
    }
    return Manifest(**{**values, **changes})  # type: ignore[arg-type]


@dataclass
class Model:
    """Versions of a chunked file, and what is published of them beside it."""

    files: dict[str, bytes]
    cuts: dict[str, list[int]] = field(default_factory=dict)
    packed: tuple[str, ...] = ()
    bases: dict[str, bytes] = field(default_factory=dict)  # path: an earlier file to make a residual against

    def manifest(self, version: str) -> tuple[Manifest, list[bytes]]:
        """Return the manifest, and the further blobs that it names."""
        further: list[bytes] = []

        def keep(data: bytes) -> str:
            further.append(data)
            return sha256(data)

        entries, residuals = [], []
        for path, data in sorted(self.files.items()):
            cuts = self.cuts.get(path)
            blocks = [data[a:b] for a, b in pairwise(cuts)] if cuts else []
            index = keep(ChunkIndex.of_blocks(blocks).to_bytes()) if cuts else None
            xz = lzma.compress(data) if path in self.packed else b""
            packed = Packed(keep(xz), len(xz)) if xz else None
            entries.append(ReleaseFile(path, len(data), sha256(data), index, packed))
            if cuts and (base := self.bases.get(path)):
                payloads = [difference(data[a:b], base[a:b]) for a, b in pairwise(cuts)]
                parts = enumerate(zip(cuts, payloads, strict=False))
                table = write_table((number, at, len(payload)) for number, (at, payload) in parts)
                blob = table + b"".join(payloads)
                residuals.append(
                    Residual(path, sha256(base), keep(blob), len(blob), len(table), sha256(table))
                )
        manifest = replace(manifest_of({}, version), files=tuple(entries), residuals=tuple(residuals))
        return manifest, further

    def publish(self, publisher: Publisher, depot: FakeDepot, version: str) -> Manifest:
        manifest, further = self.manifest(version)
        publisher.publish(depot, manifest, self.files, further=further)
        return manifest


def node_config(directory: Path, depot: FakeDepot, publisher: Publisher) -> NodeConfig:
    """A node that trusts ``publisher`` and has the password."""
    directory.mkdir(exist_ok=True)
    signers, credentials = directory / "allowed_signers", directory / "credentials.json"
    signers.write_text(publisher.allowed())
    host = depot.url.partition("//")[2]
    credentials.write_text(json.dumps({"auths": {host: {"auth": BASIC.split()[1]}}}))
    server = DepotServer(depot.url, None, credentials)
    return NodeConfig(directory / "state", Path("/sys"), server, Trust(signers))
