# SPDX-License-Identifier: Apache-2.0
"""Brings root's files on a host to a wanted state. Private to this collection.

The action ``host_files`` sends this file's text to ``python3 -`` on the host: standard library only (3.10+).
A file is replaced by a finished one (write, fsync, rename), so a kill leaves the old one or the new one.
"""

from __future__ import annotations

import base64
import grp
import hashlib
import json
import os
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

UNIT_DIRECTORY = "/etc/systemd/system/"


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


def group_id(entry: dict[str, Any], check: bool) -> int:
    """Return the number of the group that ``entry`` names, root's own if it names none.

    A host that has no such group yet fails, but in a ``check``: what makes the group has not run there.
    """
    name = entry.get("group")
    if name is None:
        return os.getgid()
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        if check:
            return os.getgid()
        raise RefusedError(
            f"{entry['path']} is to belong to group {name}, which the host has not; install what makes it"
        ) from error


def validate(path: str, argv: list[str], temporary: str) -> None:
    """Run ``argv`` with ``temporary`` for ``%s``; raises RefusedError with what it says if it fails."""
    command = [part.replace("%s", temporary) for part in argv]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
    except OSError as error:
        raise RefusedError(
            f"{path} could not be tried: {command[0]}: {error.strerror}; the old one was kept"
        ) from error
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip().replace(temporary, path)
        raise RefusedError(
            f"{path} is refused by {command[0]}, and the old one was kept: {said or 'no reason'}"
        )


def replace(path: Path, content: bytes, mode: int, group: int, argv: list[str] | None = None) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(handle, mode)
            os.fchown(handle, os.getuid(), group)
            file.flush()
            os.fsync(handle)
        if argv:
            validate(str(path), argv, name)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def fix_mode(path: Path, mode: int, group: int) -> None:
    os.chown(path, os.getuid(), group)
    path.chmod(mode)


def has_mode(path: Path, mode: int, group: int) -> bool:
    found = path.stat()
    return (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (mode, os.getuid(), group)


def apply_directory(path: Path, mode: int, group: int, check: bool) -> str | None:
    """Return what was to do (None: nothing)."""
    if not path.is_dir():
        if not check:
            path.mkdir(parents=True, exist_ok=True)
            fix_mode(path, mode, group)
        return "created"
    if not has_mode(path, mode, group):
        if not check:
            fix_mode(path, mode, group)
        return "mode"
    return None


def apply_file(entry: dict[str, Any], mode: int, group: int, check: bool) -> dict[str, Any] | None:
    """Return the change made or to be made (None: none)."""
    path = Path(entry["path"])
    old = path.read_bytes() if path.exists() else None
    new = wanted_bytes(entry, old)
    if new is None or new != old:
        if new is not None and not check:
            replace(path, new, mode, group, entry.get("validate"))
        change = {"path": str(path), "what": "created" if old is None else "content"}
        if new is None:
            change["wants_data"] = True
        elif not entry.get("secret") and "data" not in entry:
            change["before"] = (old or b"").decode(errors="replace")
            change["after"] = new.decode(errors="replace")
        return change
    if not has_mode(path, mode, group):
        if not check:
            fix_mode(path, mode, group)
        return {"path": str(path), "what": "mode"}
    return None


def systemctl(*arguments: str) -> str:
    """Return what systemctl prints; raises RefusedError with what it says if it fails."""
    return printed(
        "systemctl", *arguments, absent="units need a host that systemd runs", failed="see systemctl status"
    )


def printed(*command: str, absent: str, failed: str) -> str:
    """Return what a command prints; raises RefusedError with what it says and what to do if it fails."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise RefusedError(f"{command[0]}: {error.strerror}; {absent}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"it ended with status {done.returncode}"
        raise RefusedError(f"{' '.join(command)}: {said}; {failed} on the host")
    return done.stdout.decode(errors="replace")


def apply_groups(groups: list[dict[str, Any]], check: bool) -> list[dict[str, Any]]:
    """Give each number that no group has to its group, made if there is none; return what was to do."""
    changes = []
    for group in groups:
        number, name = group["gid"], group["name"]
        named = {known.gr_name: known.gr_gid for known in grp.getgrall()}
        if number in named.values():
            continue
        command = ["groupmod"] if name in named else ["groupadd", "--system"]
        if not check:
            change = (*command, "--gid", str(number), name)
            printed(*change, absent="install Debian's package passwd", failed="see /etc/group")
        before = f"{named[name]}\n" if name in named else ""
        changes.append({"path": name, "what": "group", "before": before, "after": f"{number}\n"})
    return changes


def shown_units(names: list[str]) -> dict[str, dict[str, str]]:
    """Return what systemd says of each unit; of one that it does not know, too."""
    properties = "--property=LoadState,UnitFileState,ActiveState,NeedDaemonReload"
    blocks = systemctl("show", properties, *names).strip().split("\n\n")
    return {
        name: dict(line.partition("=")[::2] for line in block.splitlines())
        for name, block in zip(names, blocks, strict=True)
    }


def apply_units(units: list[str], files: list[str], new: list[str], check: bool) -> list[dict[str, Any]]:
    """Have ``units`` enabled and active, by the unit ``files`` as they are now; return what was to do.

    systemd says itself whether it has read the files: an earlier run may have ended before it was told. But
    it does not notice a file that is dated before the one it replaced, so ``new`` ones count too.
    """
    names = [*units, *(name for name in map(unit_name, files) if name and name not in units)]
    try:
        shown = shown_units(names)
    except RefusedError:
        if not check:
            raise
        shown = {name: {} for name in names}  # a dry run of what has to be installed first
    unread = any(shown[name].get("NeedDaemonReload") == "yes" for name in names)
    if not check and (unread or any(map(unit_name, new))):
        systemctl("daemon-reload")
    changes = []
    for name in units:
        found = (
            shown[name].get("UnitFileState") or "not there",
            shown[name].get("ActiveState") or "inactive",
        )
        if found != ("enabled", "active"):
            before, after = (f"{', '.join(state)}\n" for state in (found, ("enabled", "active")))
            changes.append({"path": name, "what": "unit", "before": before, "after": after})
    if changes and not check:
        systemctl("enable", "--now", *(change["path"] for change in changes))
    return changes


def unit_name(path: str) -> str | None:
    """Return the name of the unit that a file (a drop-in, too) defines; None if it defines none."""
    if not path.startswith(UNIT_DIRECTORY):
        return None
    return path.removeprefix(UNIT_DIRECTORY).partition("/")[0].removesuffix(".d")


def apply(
    entries: list[dict[str, Any]],
    check: bool,
    units: list[str] | None = None,
    groups: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Bring every entry to its wanted state, in order; ``check`` only says what would change.

    ``groups`` come first. ``units`` come last, and not before all files are there.
    """
    changes: list[dict[str, Any]] = []
    try:
        changes += apply_groups(groups or [], check)
        for entry in entries:
            mode, group = int(entry["mode"], 8), group_id(entry, check)
            if entry.get("directory"):
                what = apply_directory(Path(entry["path"]), mode, group, check)
                change = {"path": entry["path"], "what": what} if what else None
            else:
                change = apply_file(entry, mode, group, check)
            if change:
                changes.append(change)
        if units and (check or not any(change.get("wants_data") for change in changes)):
            files, new = ([entry["path"] for entry in listed] for listed in (entries, changes))
            changes += apply_units(units, files, new, check)
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
