"""Writes that a power cut leaves old or new."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def sync_directory(directory: Path) -> None:
    """Make names in ``directory`` (renames, links, removals) durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(
    path: Path, data: bytes, mode: int, *, owner: tuple[int, int] | None = None, durable: bool = True
) -> None:
    """Replace ``path`` by ``data``: a new name, fsync, rename, fsync of the directory.

    ``owner``: user and group id, if not the caller's. Not ``durable``: for what is soon written again, since
    a power cut may leave neither old nor new.
    """
    new = path.with_name(f".{path.name}.new")
    with (
        naming(path),
        open(new, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as stream,
    ):
        if owner:
            os.fchown(stream.fileno(), *owner)
        os.fchmod(stream.fileno(), mode)
        stream.write(data)
        if durable:
            stream.flush()
            os.fsync(stream.fileno())
    new.rename(path)
    if durable:
        sync_directory(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name ``path`` in an OSError that names no file: a full disk is told by write, which knows none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def sync_tree(root: Path) -> None:
    """Make the names in every directory of ``root`` durable."""
    for directory, _, _ in os.walk(root):
        sync_directory(Path(directory))


def remove_tree(root: Path) -> None:
    """Remove ``root`` if it exists, read-only directories included."""
    if not root.exists():
        return
    for directory, _, _ in os.walk(root):
        Path(directory).chmod(0o700)
    shutil.rmtree(root)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
