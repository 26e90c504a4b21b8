"""The chunk index of a file: where it is cut, and the sha256 of every piece.

Two releases share what has the same digest, wherever it lies, so a node fetches only the pieces that no
release on it has. Standard library only: the node tool reads it too. The format is described in
docs/contracts.md.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from ovms_edge.errors import EdgeError

MAGIC = b"ovms-edge.chunks/1\n"
# A node holds a chunk in memory while it verifies it, so this bounds what a node needs.
MAX_CHUNK_BYTES = 4 << 20

_ENTRY = struct.Struct(">I32s")  # length in bytes, sha256


@dataclass(frozen=True, slots=True)
class Chunk:
    """``size`` bytes at ``offset`` of a file; ``digest`` is their sha256, 32 bytes."""

    offset: int
    size: int
    digest: bytes


@dataclass(frozen=True)
class ChunkIndex:
    """All chunks of one file, in its order and without a gap."""

    chunks: tuple[Chunk, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        last = self.chunks[-1] if self.chunks else Chunk(0, 0, b"")
        return last.offset + last.size

    @property
    def sha256(self) -> str:
        """The digest of the index itself, in hexadecimal: what the manifest names it by."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the index as a blob: 36 bytes a chunk after one line that names the format."""
        return MAGIC + b"".join(_ENTRY.pack(chunk.size, chunk.digest) for chunk in self.chunks)

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> ChunkIndex:
        """Read the index of a file of ``size`` bytes; raises EdgeError if it is none, or of another file."""
        body = memoryview(data)[len(MAGIC) :]
        if not data.startswith(MAGIC) or len(body) % _ENTRY.size:
            raise _unreadable(f"{len(data)} bytes that do not have its form")
        index = cls(tuple(_chunks(_ENTRY.iter_unpack(body))))
        if index.size != size:
            raise _unreadable(f"it describes {index.size} bytes, the file has {size}")
        return index

    @classmethod
    def of_blocks(cls, blocks: Iterable[bytes]) -> ChunkIndex:
        """Return the index of the file that ``blocks`` make up, one chunk a block."""
        return cls(tuple(_chunks((len(block), hashlib.sha256(block).digest()) for block in blocks)))


def check_cuts(cuts: Iterable[int], size: int) -> tuple[int, ...]:
    """Return ``cuts``, the offsets at which chunks of a file of ``size`` bytes begin, and the file's end.

    Raises ValueError if they do not go from 0 to ``size`` in steps of 1 to MAX_CHUNK_BYTES.
    """
    checked = tuple(cuts)
    steps_fit = all(0 < after - before <= MAX_CHUNK_BYTES for before, after in pairwise(checked))
    if not checked or checked[0] != 0 or checked[-1] != size or not steps_fit:
        raise ValueError(f"cuts {checked[:3]}... of {len(checked)} do not divide {size} bytes")
    return checked


def _chunks(entries: Iterable[tuple[int, bytes]]) -> Iterator[Chunk]:
    offset = 0
    for size, digest in entries:
        if not 0 < size <= MAX_CHUNK_BYTES:
            raise _unreadable(f"a chunk of {size} bytes at {offset}, 1 to {MAX_CHUNK_BYTES} allowed")
        yield Chunk(offset, size, digest)
        offset += size


def _unreadable(detail: str) -> EdgeError:
    return EdgeError(
        f"chunk index not readable: {detail}", "build and publish the release again with a matching ovms-edge"
    )
