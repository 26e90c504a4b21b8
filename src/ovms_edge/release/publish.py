"""Bring a signed release into a depot: blobs first, its tag last, so that nobody sees half a release."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, Manifest, ReleaseRef
from ovms_edge.release.artifact import (
    Artifact,
    Blob,
    build_artifact,
    further_blob,
    read_layers,
    sha256_digest,
)
from ovms_edge.release.depot import Depot
from ovms_edge.release.progress import Progress
from ovms_edge.release.sign import read_manifest_bytes, read_signature_bytes
from ovms_edge.release.upload import UploadNote

BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class Published:
    """What a publish did.

    ``uploaded_bytes`` of ``total_bytes`` went over the wire; ``new`` is False if it was there already.
    """

    ref: ReleaseRef
    digest: str
    total_bytes: int
    uploaded_bytes: int
    new: bool


def publish_release(directory: Path, depot: Depot, verbose: bool = False) -> Published:
    """Upload the release in ``directory`` under ``models/NAME``, tag VERSION.

    What the depot has is not sent again, so a publish that was cut off goes on where it was. Raises
    EdgeError if the release is unsigned or changed after the build, or the depot has another one under
    its name and version.
    """
    data = read_manifest_bytes(directory)
    signature, _ = read_signature_bytes(directory, data)
    manifest = Manifest.from_bytes(data)
    _check_sizes(directory, manifest)
    artifact = build_artifact(manifest, signature, further_blobs(directory, manifest))
    present = depot.get_manifest(manifest.ref)
    if present is not None and present != artifact.data:
        raise _occupied(manifest.ref, depot, artifact, present)
    uploaded = _push_blobs(directory, manifest, artifact, depot, verbose)
    if present is None:
        depot.put_manifest(manifest.ref, artifact.data)
    return Published(manifest.ref, artifact.digest, artifact.total_bytes, uploaded, present is None)


def _push_blobs(directory: Path, manifest: Manifest, artifact: Artifact, depot: Depot, verbose: bool) -> int:
    uploaded = 0
    note = UploadNote(directory.resolve().parent / f".{manifest.ref.version}.upload")
    progress = Progress("publish", artifact.total_bytes, verbose)
    for blob in artifact.blobs:
        progress.start(blob.path or "model config")
        small = artifact.small.get(blob.digest)
        if small is not None or not blob.size:
            sent = depot.push_bytes(manifest.ref, blob, small or b"")
        else:
            content = FileBody(directory / str(blob.path), blob, progress.advance)
            sent = depot.push_file(manifest.ref, blob, content, note)
        if small is not None or not sent:
            progress.advance(blob.size)
        uploaded += blob.size if sent else 0
        progress.finish("uploaded" if sent else "exists")
    progress.close()
    return uploaded


def _check_sizes(directory: Path, manifest: Manifest) -> None:
    for file in manifest.files:
        path = directory / file.path
        if not path.is_file():
            raise EdgeError(f"{path} is missing", "build the release again")
        if path.stat().st_size != file.size:
            raise _changed(path, f"{file.size} bytes expected, {path.stat().st_size} found")


def further_blobs(directory: Path, manifest: Manifest) -> list[Blob]:
    """Return chunk indexes, packed files and residuals; their digests are checked as they are sent."""
    blobs = []
    for name, sha256 in manifest.further.items():
        try:
            blobs.append(further_blob(name, sha256, (directory / name).stat().st_size))
        except OSError as error:
            raise EdgeError(
                f"{directory / name} cannot be read: {error.strerror}", "build the release again"
            ) from error
    return blobs


def _changed(path: Path, detail: str) -> EdgeError:
    return EdgeError(
        f"{path} changed after the build: {detail}", "build the release again, under another version"
    )


def _occupied(ref: ReleaseRef, depot: Depot, artifact: Artifact, present: bytes) -> EdgeError:
    layer = read_layers(present).get(MANIFEST_FILE)
    if layer is not None and layer.digest in artifact.small:
        return EdgeError(
            f"depot {depot.url} has {ref} with this content and another signature",
            "leave it so, or choose another version",
        )
    return EdgeError(
        f"depot {depot.url} has another {ref} ({sha256_digest(present)}), and a release never changes",
        "choose another version",
    )


class FileBody:
    """A file to upload, hashed on the way: its last block is not sent unless the digest is right."""

    def __init__(self, path: Path, blob: Blob, advance: Callable[[int], None]) -> None:
        self._path, self._blob, self._advance = path, blob, advance
        self._sent = 0

    def open(self, offset: int = 0) -> FileStream:
        """Return the file from ``offset``, which is how much of it arrived before."""
        stream = FileStream(self._path, self._blob, self._count)
        self._advance(offset - self._sent)  # what else an earlier attempt sent counts no more
        self._sent = offset
        stream.skip(offset)
        return stream

    def _count(self, count: int) -> None:
        self._sent += count
        self._advance(count)


class FileStream:
    """What requests reads the body from. It holds one block in memory, whatever the size of the file."""

    def __init__(self, path: Path, blob: Blob, advance: Callable[[int], None]) -> None:
        self._path, self._blob, self._advance = path, blob, advance
        self._digest = hashlib.sha256()
        self._left = blob.size
        try:
            self._stream = path.open("rb", buffering=0)
        except OSError as error:
            raise _unreadable(path, error) from error

    def __len__(self) -> int:  # requests sends it as Content-Length
        return self._left

    def __iter__(self) -> Iterator[bytes]:  # by this requests knows a stream
        while block := self.read(BLOCK_BYTES):
            yield block

    def skip(self, size: int) -> None:
        """Hash ``size`` bytes that are not to be sent."""
        while size:
            size -= len(self._next(min(size, BLOCK_BYTES)))

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most ``size``; raises EdgeError if the file is not what was built."""
        block = self._next(size)
        self._advance(len(block))
        return block

    def _next(self, size: int) -> bytes:
        wanted = min(self._left, size if size > 0 else BLOCK_BYTES)
        try:
            block = self._stream.read(wanted) or b""
        except OSError as error:
            raise _unreadable(self._path, error) from error
        self._digest.update(block)
        self._left -= len(block)
        if wanted and not block:
            raise _changed(self._path, f"{self._left} bytes are missing")
        if self._left == 0 and f"sha256:{self._digest.hexdigest()}" != self._blob.digest:
            raise _changed(self._path, "its sha256 differs from the manifest's")
        return block

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _unreadable(path: Path, error: OSError) -> EdgeError:
    return EdgeError(f"{path} cannot be read: {error.strerror}", "mend the disk, or build the release again")
