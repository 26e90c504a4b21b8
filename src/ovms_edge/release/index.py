"""Read a file once: its sha256 and its chunk index."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from ovms_edge.chunks import ChunkIndex
from ovms_edge.errors import EdgeError


def index_file(
    path: Path, cuts: tuple[int, ...], advance: Callable[[int], None] = lambda _: None
) -> tuple[str, ChunkIndex]:
    """Return the sha256 (hexadecimal) and the index of ``path``, cut at ``cuts``; ``advance`` counts bytes.

    Raises EdgeError if the file ends before the last cut or goes on after it.
    """
    whole = hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        with path.open("rb") as stream:
            for before, after in pairwise(cuts):
                block = stream.read(after - before)
                if len(block) != after - before:
                    raise _changed(path, cuts[-1])
                whole.update(block)
                advance(len(block))
                yield block
            if stream.read(1):
                raise _changed(path, cuts[-1] if cuts else 0)

    index = ChunkIndex.of_blocks(blocks())
    return whole.hexdigest(), index


def _changed(path: Path, size: int) -> EdgeError:
    return EdgeError(f"{path} changed while it was read: it had {size} bytes", "build the release again")
