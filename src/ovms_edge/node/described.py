"""The small blobs that say how a release is made up: chunk indexes, tables of residuals."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ovms_edge.chunks import ChunkIndex
from ovms_edge.manifest import CHUNKS_DIRECTORY, ReleaseFile, Residual
from ovms_edge.node.source import Data, Source, Wanted
from ovms_edge.residual import Entry, read_table


class Blobs:
    """Read from the releases that lie here, else fetched and kept in memory; nothing is written.

    ``fetched_bytes`` is what came over the wire.
    """

    def __init__(self, source: Source, repository: str, releases: Iterable[Path]) -> None:
        """``releases``: directories that may have indexes."""
        self._source = source
        self._repository = repository
        self._directories = [release / CHUNKS_DIRECTORY for release in releases]
        self._indexes: dict[str, bytes] = {}
        self.fetched_bytes = 0

    def index(self, file: ReleaseFile) -> ChunkIndex | None:
        """Return the chunk index of ``file``, None if it has none; raises EdgeError."""
        if file.chunk_index is None:
            return None
        return ChunkIndex.from_bytes(self.index_bytes(file.chunk_index), file.size)

    def index_bytes(self, sha256: str) -> bytes:
        """Return a chunk index as it is published, verified; raises EdgeError."""
        if sha256 not in self._indexes:
            data = self._local(sha256)
            if data is None:
                data = self._source.small(self._repository, sha256)
                self.fetched_bytes += len(data)
            self._indexes[sha256] = data
        return self._indexes[sha256]

    def table(self, residual: Residual) -> tuple[Entry, ...]:
        """Return the table of ``residual``; raises EdgeError."""
        found: list[bytes] = []

        def accept(data: Data) -> bool:
            if hashlib.sha256(data).hexdigest() != residual.table_sha256:
                return False
            found.append(bytes(data))
            return True

        self._source.fetch(self._repository, [Wanted(residual.sha256, 0, residual.table_bytes, accept)])
        self.fetched_bytes += residual.table_bytes
        return read_table(found[0])

    def _local(self, sha256: str) -> bytes | None:
        for directory in self._directories:
            data = read_if_there(directory / sha256)
            if data is not None and hashlib.sha256(data).hexdigest() == sha256:
                return data
        return None


def local_index(release: Path, file: ReleaseFile) -> ChunkIndex | None:
    """Return the index that ``release`` has of its ``file``; None if there is none, or a damaged one."""
    if file.chunk_index is None:
        return None
    data = read_if_there(release / CHUNKS_DIRECTORY / file.chunk_index)
    if data is None or hashlib.sha256(data).hexdigest() != file.chunk_index:
        return None
    return ChunkIndex.from_bytes(data, file.size)


def read_if_there(path: Path) -> bytes | None:
    """Return the bytes of ``path``, None if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None
