"""Files that are old or new, never half; and the lab's lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .console import Console


def write(path: Path, text: str, mode: int = 0o644) -> bool:
    """Replace ``path`` by ``text`` in one step; returns whether anything changed."""
    if path.is_file() and path.read_text() == text and path.stat().st_mode & 0o777 == mode:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, mode)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
    return True


def write_json(path: Path, document: dict[str, Any], mode: int = 0o644) -> bool:
    return write(path, json.dumps(document, indent=1, sort_keys=True) + "\n", mode)


def read_json(path: Path) -> dict[str, Any]:
    """What ``path`` holds, or nothing if there is no such file."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return dict(document)


@contextlib.contextmanager
def locked(home: Path, console: Console) -> Iterator[None]:
    """One command at a time changes the lab; the others wait and say for whom."""
    home.mkdir(exist_ok=True)
    with (home / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            console.say(f"waiting for {file.read().strip() or 'another lab command'}")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield
        file.truncate(0)
