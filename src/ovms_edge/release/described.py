"""A release to look into, wherever it is: a directory that was built, or a depot."""

from __future__ import annotations

import lzma
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ovms_edge.chunks import ChunkIndex
from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.manifest import (
    CHUNKS_DIRECTORY,
    RESIDUALS_DIRECTORY,
    SIGNATURE_FILE,
    Manifest,
    ReleaseFile,
    ReleaseRef,
    Residual,
)
from ovms_edge.node.config import DepotServer, NodeConfig, Trust
from ovms_edge.node.depot import Depot
from ovms_edge.node.described import Blobs
from ovms_edge.node.pace import Unhurried
from ovms_edge.release.credentials import default_credentials_file
from ovms_edge.release.sign import read_manifest_bytes
from ovms_edge.residual import Entry, read_table


class Release(Protocol):
    """What ``ovms_edge.delta`` asks of a release, its texts, and what it says of itself."""

    manifest: Manifest
    overhead_bytes: int  # manifest and signature, which a node always fetches

    def index(self, file: ReleaseFile) -> ChunkIndex | None:
        """Return the chunk index of a file."""

    def table(self, residual: Residual) -> tuple[Entry, ...]:
        """Return the table of a residual."""

    def text(self, file: ReleaseFile) -> Path | None:
        """Return where the bytes of a text file can be read, None if it would have to be fetched whole."""


@dataclass
class BuiltRelease:
    """In ``directory``."""

    directory: Path
    manifest: Manifest
    overhead_bytes: int

    def index(self, file: ReleaseFile) -> ChunkIndex | None:
        """Return the chunk index of a file."""
        if file.chunk_index is None:
            return None
        data = self._read(f"{CHUNKS_DIRECTORY}/{file.chunk_index}", None)
        return ChunkIndex.from_bytes(data, file.size)

    def table(self, residual: Residual) -> tuple[Entry, ...]:
        """Return the table of a residual."""
        return read_table(self._read(f"{RESIDUALS_DIRECTORY}/{residual.sha256}", residual.table_bytes))

    def text(self, file: ReleaseFile) -> Path | None:
        """Return the file itself."""
        return self.directory / file.path

    def _read(self, name: str, size: int | None) -> bytes:
        path = self.directory / name
        try:
            with path.open("rb") as stream:
                return stream.read() if size is None else stream.read(size)
        except OSError as error:
            raise EdgeError(f"{path} cannot be read: {error.strerror}", "build the release again") from error


class PublishedRelease:
    """In a depot."""

    def __init__(self, source: Depot, ref: ReleaseRef, directory: Path) -> None:
        """``directory`` takes the texts that are looked into."""
        signed = source.signed_manifest(ref)
        self.manifest = Manifest.from_bytes(signed.data)
        self.overhead_bytes = len(signed.data) + len(signed.signature)
        self._source, self._repository = source, f"models/{ref.name}"
        self._blobs = Blobs(source, self._repository, [])
        self._directory = directory

    def index(self, file: ReleaseFile) -> ChunkIndex | None:
        """Return the chunk index of a file."""
        return self._blobs.index(file)

    def table(self, residual: Residual) -> tuple[Entry, ...]:
        """Return the table of a residual."""
        return self._blobs.table(residual)

    def text(self, file: ReleaseFile) -> Path | None:
        """Fetch a text that is packed."""
        if file.packed is None:
            return None
        path = self._directory / Path(file.path).name
        path.write_bytes(lzma.decompress(self._source.small(self._repository, file.packed.sha256)))
        return path


@contextmanager
def opened(text: str, depot: str | None, ca_file: Path | None, credentials: Path | None) -> Iterator[Release]:
    """Yield the release that ``text`` names: a directory, or NAME@VERSION in ``depot``."""
    if Path(text).is_dir():
        directory = Path(text)
        data = read_manifest_bytes(directory)
        signature = directory / SIGNATURE_FILE
        size = signature.stat().st_size if signature.is_file() else 0
        yield BuiltRelease(directory, Manifest.from_bytes(data), len(data) + size)
        return
    ref = ReleaseRef.parse(text)
    if depot is None:
        raise UsageError(f"{text} is in a depot", "say which with --depot URL")
    source = source_of(depot, ca_file, credentials)
    with tempfile.TemporaryDirectory(prefix="ovms-edge-") as texts:
        yield PublishedRelease(source, ref, Path(texts))


def source_of(depot: str, ca_file: Path | None, credentials: Path | None) -> Depot:
    """Return a depot to read from as nodes do; without ``credentials``, Docker's own serve, if any."""
    path = credentials or default_credentials_file()
    server = DepotServer(depot, ca_file, path if credentials or path.is_file() else None)
    nowhere = Path("/nonexistent")  # nothing of it is a node's but the connection
    return Depot(NodeConfig(nowhere, nowhere, server, Trust(nowhere)), Unhurried())
