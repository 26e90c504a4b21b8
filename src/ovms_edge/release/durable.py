"""Writes that are there after a power loss, whole, or were never made."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def write_atomically(path: Path, data: bytes, like: os.stat_result | None = None) -> None:
    """Replace ``path`` by ``data``: a reader finds the old content or the new, never a part.

    The new file has owner and mode of ``like``, without it those of the caller and 0644.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            if like and (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(stream.fileno(), like.st_uid, like.st_gid)
            os.fchmod(stream.fileno(), stat.S_IMODE(like.st_mode) if like else 0o644)
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync_tree(root: Path) -> None:
    """Flush a directory and all below it to disk."""
    for path in root.rglob("*"):
        sync(path)
    sync(root)


def sync(path: Path) -> None:
    """Flush one file or directory to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
