"""A depot: releases in an OCI registry.

The protocol: OCI distribution-spec v1.1, github.com/opencontainers/distribution-spec.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from urllib.parse import urljoin

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.oci import OCI_MANIFEST
from ovms_edge.release.artifact import Blob, sha256_digest
from ovms_edge.release.credentials import default_credentials_file, read_credentials
from ovms_edge.release.refusals import host_of
from ovms_edge.release.transport import Body, Transport
from ovms_edge.release.upload import ACCEPTED, CREATED, FileContent, Upload, UploadNote, completion_url

_TAGS_AT_ONCE = 500
OK, NOT_FOUND = 200, 404
# What is sent in one request: too little to go on in the middle of.
_SMALL_BYTES = 4 << 20


def open_depot(url: str, ca_file: Path | None = None, credentials_file: Path | None = None) -> Depot:
    """Return the depot at ``url``; without ``credentials_file``, Docker's own serves if there is one."""
    path = credentials_file or default_credentials_file()
    credentials = read_credentials(path, host_of(url)) if credentials_file or path.is_file() else None
    return Depot(Transport(url, ca_file, credentials))


class Depot:
    """Reads and writes blobs and manifests of releases. Every method raises EdgeError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.url = transport.url

    def get_manifest(self, ref: ReleaseRef) -> bytes | None:
        """Return the OCI manifest under the release's tag, or None if the depot has none."""
        url = self._of(ref, f"manifests/{ref.version}")
        send = self._transport.send
        response = self._transport.retry(lambda: send("GET", url, (OK, NOT_FOUND), {"Accept": OCI_MANIFEST}))
        return response.content if response.status_code == OK else None

    def tags(self, name: str) -> list[str]:
        """Return all tags of a model; none if the depot does not know it (distribution-spec, tags/list)."""
        url: str | None = f"{self.url}/v2/models/{name}/tags/list?n={_TAGS_AT_ONCE}"
        found: list[str] = []
        while url:
            response = self._transport.retry(partial(self._transport.send, "GET", url, (OK, NOT_FOUND)))
            if response.status_code == NOT_FOUND:
                return found
            found += response.json().get("tags") or []
            following = response.links.get("next", {}).get("url")
            url = urljoin(url, following) if following else None
        return found

    def get_blob(self, ref: ReleaseRef, blob: Blob, max_bytes: int) -> bytes:
        """Return a small blob, verified; refused above ``max_bytes`` since it is held in memory."""
        if blob.size > max_bytes:
            raise EdgeError(
                f"{blob.path} of {ref} has {blob.size} bytes", f"at most {max_bytes} are expected"
            )
        url = self._of(ref, f"blobs/{blob.digest}")
        data = self._transport.retry(lambda: self._transport.send("GET", url, (OK,))).content
        if sha256_digest(data) != blob.digest:
            raise EdgeError(
                f"{blob.path} of {ref} is damaged in the depot", "delete the tag there, then publish again"
            )
        return data

    def push_bytes(self, ref: ReleaseRef, blob: Blob, data: bytes) -> bool:
        """Upload one blob unless the depot has it; returns whether it was uploaded."""
        return self._transport.retry(lambda: self._push_once(ref, blob, data))

    def push_file(self, ref: ReleaseRef, blob: Blob, content: FileContent, note: UploadNote) -> bool:
        """Upload one blob unless the depot has it; a large one goes on where ``note`` says it was."""
        if blob.size <= _SMALL_BYTES:
            return self._transport.retry(lambda: self._push_once(ref, blob, content.open))
        if self._transport.retry(lambda: self._has(ref, blob)):
            return False
        Upload(self._transport, self._of(ref, "blobs/uploads/"), blob, content, note).run()
        return True

    def _has(self, ref: ReleaseRef, blob: Blob) -> bool:
        url = self._of(ref, f"blobs/{blob.digest}")
        return self._transport.send("HEAD", url, (OK, NOT_FOUND)).status_code == OK

    def _push_once(self, ref: ReleaseRef, blob: Blob, body: bytes | Body) -> bool:
        send = self._transport.send
        if self._has(ref, blob):
            return False
        begun = send("POST", self._of(ref, "blobs/uploads/"), (ACCEPTED,))
        location = urljoin(begun.url, begun.headers.get("Location", ""))
        url = completion_url(location, blob.digest)
        send("PUT", url, (CREATED,), {"Content-Type": "application/octet-stream"}, body)
        return True

    def put_manifest(self, ref: ReleaseRef, data: bytes) -> None:
        """Tag the release, then read it back: what the depot serves is what was sent."""
        url = self._of(ref, f"manifests/{ref.version}")
        send = self._transport.send
        self._transport.retry(lambda: send("PUT", url, (CREATED,), {"Content-Type": OCI_MANIFEST}, data))
        served = self.get_manifest(ref)
        if served != data:
            found = sha256_digest(served) if served is not None else "nothing"
            raise EdgeError(
                f"depot {self.url} serves {found} as {ref}, not the {sha256_digest(data)} just sent",
                "publish again; if it persists, see who else writes there",
            )

    def _of(self, ref: ReleaseRef, rest: str) -> str:
        return f"{self.url}/v2/models/{ref.name}/{rest}"
