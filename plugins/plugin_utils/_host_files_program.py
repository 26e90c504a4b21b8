# SPDX-License-Identifier: Apache-2.0
"""Brings root's files on a host to a wanted state. Private to this collection.

The action ``host_files`` sends this file's text to ``python3 -`` on the host: standard library only (3.10+).
A file is replaced by a finished one (write, fsync, rename), so a kill leaves the old one or the new one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any


class RefusedError(Exception):
    """A file cannot be brought to its wanted state; the text is ``reason; remedy``."""


def merged(base: Any, wanted: Any) -> Any:
    """Return ``base`` with ``wanted`` laid over it, mapping by mapping; other values are replaced."""
    if not isinstance(base, dict) or not isinstance(wanted, dict):
        return wanted
    return {**base, **{key: merged(base.get(key), value) for key, value in wanted.items()}}


def merged_json(path: str, old: bytes | None, wanted: dict[str, Any]) -> bytes:
    """Return the text of a JSON file in which ``wanted`` holds and everything else is as it was.

    Compared as data: a file that already says so keeps its own layout.
    """
    try:
        base = json.loads(old) if old and old.strip() else {}
        if not isinstance(base, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise RefusedError(f"{path} is not readable as JSON ({error}); mend it or move it away") from error
    result = merged(base, wanted)
    if old and result == base:
        return old
    return json.dumps(result, indent=2).encode() + b"\n"


def wanted_bytes(entry: dict[str, Any], old: bytes | None) -> bytes | None:
    """Return the content that ``entry`` asks for; None if only a digest came and ``old`` has another."""
    if "content" in entry:
        return str(entry["content"]).encode()
    if "merge" in entry:
        return merged_json(entry["path"], old, entry["merge"])
    if "data" in entry:
        return base64.b64decode(entry["data"])
    if old is not None and hashlib.sha256(old).hexdigest() == entry["sha256"]:
        return old
    return None


def replace(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(handle, mode)
            os.fchown(handle, os.getuid(), os.getgid())
            file.flush()
            os.fsync(handle)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def fix_mode(path: Path, mode: int) -> None:
    path.chmod(mode)
    os.chown(path, os.getuid(), os.getgid())


def has_mode(path: Path, mode: int) -> bool:
    found = path.stat()
    return (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (mode, os.getuid(), os.getgid())


def apply_directory(path: Path, mode: int, check: bool) -> str | None:
    """Return what was to do (None: nothing)."""
    if not path.is_dir():
        if not check:
            path.mkdir(parents=True, exist_ok=True)
            fix_mode(path, mode)
        return "created"
    if not has_mode(path, mode):
        if not check:
            fix_mode(path, mode)
        return "mode"
    return None


def apply_file(entry: dict[str, Any], mode: int, check: bool) -> dict[str, Any] | None:
    """Return the change made or to be made (None: none)."""
    path = Path(entry["path"])
    old = path.read_bytes() if path.exists() else None
    new = wanted_bytes(entry, old)
    if new is None or new != old:
        if new is not None and not check:
            replace(path, new, mode)
        change = {"path": str(path), "what": "created" if old is None else "content"}
        if new is None:
            change["wants_data"] = True
        elif not entry.get("secret") and "data" not in entry:
            change["before"] = (old or b"").decode(errors="replace")
            change["after"] = new.decode(errors="replace")
        return change
    if not has_mode(path, mode):
        if not check:
            fix_mode(path, mode)
        return {"path": str(path), "what": "mode"}
    return None


def apply(entries: list[dict[str, Any]], check: bool) -> dict[str, Any]:
    """Bring every entry to its wanted state, in order; ``check`` only says what would change."""
    changes = []
    try:
        for entry in entries:
            mode = int(entry["mode"], 8)
            if entry.get("directory"):
                what = apply_directory(Path(entry["path"]), mode, check)
                change = {"path": entry["path"], "what": what} if what else None
            else:
                change = apply_file(entry, mode, check)
            if change:
                changes.append(change)
    except RefusedError as error:
        return {"ok": False, "msg": str(error), "changes": changes}
    except OSError as error:
        return {
            "ok": False,
            "msg": f"{error.filename or entry['path']} could not be written: {error.strerror}; "
            "see that the file system is writable and has room",
            "changes": changes,
        }
    return {"ok": True, "changes": changes}
