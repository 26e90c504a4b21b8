"""One engine on one journal: the second is refused, with who is at work and since when."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError

_LOOK_SECONDS = 0.5


@contextmanager
def only_controller(journal: Path, rollout: str) -> Iterator[None]:
    """Hold the lock beside the journal; the kernel lets go of it however this process ends.

    Raises EdgeError with the holder's host, process and begin if another engine holds it.
    """
    path = _lock_path(journal)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(descriptor, path)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": now, "rollout": rollout}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def controller_of(journal: Path) -> dict[str, Any] | None:
    """Return who runs an engine on the journal: host, pid, since, rollout; None if nobody does."""
    try:
        descriptor = os.open(_lock_path(journal), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(_lock_path(journal))
    else:
        return None
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path) -> None:
    """Take the lock; whoever only looks has it for an instant, too, so that one refusal says nothing."""
    deadline = time.monotonic() + _LOOK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise _taken(path) from error
            time.sleep(_LOOK_SECONDS / 10)
        else:
            return


def _lock_path(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}.lock")


def _holder(path: Path) -> dict[str, Any]:
    try:
        holder: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {"host": "?", "pid": None, "since": "?", "rollout": "?"}
    return holder


def _taken(path: Path) -> EdgeError:
    holder = _holder(path)
    return EdgeError(
        f"process {holder['pid']} on {holder['host']} runs rollout {holder['rollout']} on this journal "
        f"since {holder['since']}",
        "wait for it, or look at it with ovms-edge rollout status",
    )
