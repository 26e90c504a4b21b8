"""A file that is being put together: sparse, and what is in it is found by reading it.

There is no journal of what was written: after a power cut only the bytes themselves can be believed.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.chunks import Chunk
from ovms_edge.node.source import Data


def present_chunks(path: Path, chunks: Sequence[Chunk]) -> frozenset[int]:
    """Return the offsets of ``chunks`` whose bytes are in ``path``. Holes are passed over, not read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return frozenset()
    try:
        return frozenset(_present(descriptor, chunks))
    finally:
        os.close(descriptor)


def _present(descriptor: int, chunks: Sequence[Chunk]) -> Iterator[int]:
    data_at = 0
    for chunk in chunks:
        end = chunk.offset + chunk.size
        if data_at < chunk.offset:
            try:
                data_at = os.lseek(descriptor, chunk.offset, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return  # nothing but a hole up to the end
        if data_at < end:
            found = os.pread(descriptor, chunk.size, chunk.offset)
            if hashlib.sha256(found).digest() == chunk.digest:
                yield chunk.offset


def allocated_bytes(path: Path) -> int:
    """Return what ``path`` takes on the disk."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


@dataclass(frozen=True)
class PartialFile:
    """Chunks are put into it from several threads."""

    descriptor: int

    @classmethod
    @contextmanager
    def opened(cls, path: Path, size: int) -> Iterator[PartialFile]:
        """Open or make ``path`` with ``size`` bytes; what is in it stays."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, size)
            yield cls(descriptor)
        finally:
            os.close(descriptor)

    def put(self, chunk: Chunk, offsets: Iterable[int], data: Data) -> bool:
        """Write ``data`` to each of ``offsets``; returns False and writes nothing if it is not ``chunk``."""
        if hashlib.sha256(data).digest() != chunk.digest:
            return False
        for offset in offsets:
            self.write(data, offset)
        return True

    def write(self, data: Data, offset: int) -> None:
        """Write all of ``data`` at ``offset``; raises OSError."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self.descriptor, view, offset)
            view, offset = view[written:], offset + written

    def sha256(self) -> str:
        """Return the sha256 of all bytes, in hexadecimal."""
        digest = hashlib.sha256()
        buffer = bytearray(1 << 20)
        offset = 0
        while count := os.preadv(self.descriptor, [buffer], offset):
            digest.update(memoryview(buffer)[:count])
            offset += count
        return digest.hexdigest()

    def finish(self) -> None:
        """Make it read-only and durable."""
        os.fchmod(self.descriptor, 0o444)
        os.fsync(self.descriptor)
