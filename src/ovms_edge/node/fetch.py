"""Bring one file of a release from the depot, going on where an earlier call was cut off."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseFile, ReleaseRef
from ovms_edge.node.depot import Depot
from ovms_edge.node.output import log, size_text

_PROGRESS_SECONDS = 5.0
_CHUNK_BYTES = 1 << 20


def partial_size(path: Path) -> int:
    """Return how many bytes an earlier call left at ``path``."""
    return path.stat().st_size if path.is_file() else 0


def fetch(
    depot: Depot, ref: ReleaseRef, file: ReleaseFile, partial: Path, progress: Callable[[int, str], None]
) -> None:
    """Bring ``partial`` to the whole, verified and synced file."""
    resumed = partial_size(partial)
    if _download(depot, ref, file, partial, progress):
        return
    # a power cut can leave a partial file longer than what reached the disk: once more from the start
    if resumed and _download(depot, ref, file, partial, progress):
        return
    raise EdgeError(
        f"{file.path} of {ref} from the depot does not have the sha256 of the signed manifest",
        "the depot or the way to it is damaged: publish the release again",
    )


def _download(
    depot: Depot, ref: ReleaseRef, file: ReleaseFile, partial: Path, progress: Callable[[int, str], None]
) -> bool:
    if partial_size(partial) > file.size:
        partial.unlink()
    digest = hashlib.sha256()
    with partial.open("a+b") as stream:
        stream.seek(0)
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
        for chunk in depot.blob(ref, file.sha256, stream.tell(), file.size):
            stream.write(chunk)
            digest.update(chunk)
            progress(len(chunk), file.path)
        stream.flush()
        os.fchmod(stream.fileno(), 0o444)
        os.fsync(stream.fileno())
    if digest.hexdigest() == file.sha256:
        return True
    partial.unlink()
    return False


class Progress:
    """Says now and then how far it is."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._seen = 0
        self._told = time.monotonic()

    def __call__(self, count: int, path: str) -> None:
        """Count ``count`` bytes more of the file ``path``."""
        self._seen += count
        if time.monotonic() - self._told >= _PROGRESS_SECONDS:
            self._told = time.monotonic()
            log(f"{size_text(self._seen)} of {size_text(self._total)} fetched, at {path}")
