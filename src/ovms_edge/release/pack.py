"""Text of a release, compressed as a whole: an IR's .xml changes everywhere when one offset does."""

from __future__ import annotations

import hashlib
import lzma
from pathlib import Path

from ovms_edge.chunks import MAX_CHUNK_BYTES
from ovms_edge.manifest import Packed

SMALLEST_BYTES = 4 << 10
# What is larger would take this much memory here, and is no text of a model.
LARGEST_BYTES = 256 << 20
WORTH_SHARE = 0.9
# Weights do not compress: 0.935 of real INT8 at best, for minutes of CPU.
_WEIGHTS = ".bin"
_PRESET = 6  # its dictionary of 8 MiB is what a node has to hold


def pack(path: Path, directory: Path) -> Packed | None:
    """Write ``path`` compressed with xz into ``directory`` under its sha256; None where it is not worth it.

    A node holds what it unpacks, so it is at most a chunk's size.
    """
    size = path.stat().st_size
    if path.suffix == _WEIGHTS or not SMALLEST_BYTES <= size <= LARGEST_BYTES:
        return None
    data = lzma.compress(path.read_bytes(), preset=_PRESET)
    if len(data) >= WORTH_SHARE * size or len(data) > MAX_CHUNK_BYTES:
        return None
    sha256 = hashlib.sha256(data).hexdigest()
    (directory / sha256).write_bytes(data)
    return Packed(sha256, len(data))
