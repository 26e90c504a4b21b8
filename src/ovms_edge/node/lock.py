"""One changer at a time: flock on a file that says who holds it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.node.output import log, utc_now

_POLL_SECONDS = 0.1


class BusyError(EdgeError):
    """Another ovms-node holds the lock."""


@contextmanager
def exclusive(path: Path, wait_seconds: float) -> Iterator[None]:
    """Hold the lock at ``path``, waiting at most ``wait_seconds`` for whoever has it.

    The kernel drops the lock with the process, so a killed holder leaves nothing to clean up. Raises
    BusyError naming the holder.
    """
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = _open(path)
    try:
        _acquire(descriptor, path, wait_seconds)
        with suppress(OSError):  # a disk that takes no word more is no reason to let a store not serve
            holder = {"pid": os.getpid(), "command": " ".join(sys.argv[1:]), "since": utc_now()}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _acquire(descriptor: int, path: Path, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            if time.monotonic() >= deadline:
                raise BusyError(
                    f"another ovms-node works here: {holder} (lock {path})",
                    f"wait for it to end and call again, or wait longer than {wait_seconds:g} s with --wait",
                ) from None
            if not told:
                log(f"waiting for {holder}")
                told = True
            time.sleep(_POLL_SECONDS)
        else:
            return


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"pid {holder['pid']}, {holder['command']!r}, since {holder['since']}"
    except (ValueError, KeyError):
        return "it has just begun"
