# SPDX-License-Identifier: Apache-2.0
"""What this collection changes of a host that was there before it, on record on the host. Private to it.

The programs that change files write it, before they do: ``ovms-node decommission`` takes back what it says,
and nothing else. Standard library only (3.10+), as it runs on the host. What bears our name needs no record.
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

RECORD = "/etc/ovms-edge/record"
DOCUMENT = "installed.json"
ORIGINALS = "originals"
DPKG_STATUS = Path("/var/lib/dpkg/status")

_OWN = re.compile(r"ovms[-_]edge|^/usr/local/bin/ovms-node$")


def own(path: str) -> bool:
    """Whether a path bears our name: no one else's, whatever a record says."""
    return _OWN.search(path) is not None


def installed_packages(status: str) -> set[str]:
    """Return the names of the packages that dpkg's ``status`` says are installed."""
    found = set()
    for block in status.split("\n\n"):
        name, _, rest = block.partition("\n")
        if (
            "\nStatus: " in f"\n{rest}"
            and " ok installed" in rest.partition("Status: ")[2].partition("\n")[0]
        ):
            found.add(name.removeprefix("Package: "))
    return found


def leaves(wanted: Any, keys: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Return the way to each value of nested mappings, and the value."""
    if not isinstance(wanted, dict) or not wanted:
        return [(keys, wanted)]
    return [leaf for key, value in wanted.items() for leaf in leaves(value, (*keys, key))]


def digest(value: Any) -> str:
    """Return the SHA-256 of a value of JSON: a record tells what was set without holding a password."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class Record:
    """The record in a directory that only root reads, since originals are kept beside it."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._document: dict[str, Any] | None = None

    def note_file(self, path: str, old: bytes | None, new: bytes, merge: dict[str, Any] | None) -> None:
        """Note that a file is about to hold ``new``; the first time, what it held is kept."""
        self.note_directories(path)
        if own(path):
            return
        files = self._known()["files"]
        entry = files.get(path)
        if entry is None:
            entry = files[path] = {"original": None} if old is None else self._kept(path, old)
        # Only to know, when all is taken back, whether somebody else changed it meanwhile.
        entry["sha256"] = hashlib.sha256(new).hexdigest()
        if merge is not None:
            set_now = {json.dumps(keys): digest(value) for keys, value in leaves(merge)}
            entry["merged"] = {**entry.get("merged", {}), **set_now}
        self._save()

    def note_directories(self, path: str) -> None:
        """Note which directories above ``path`` are about to be made."""
        missing = [str(parent) for parent in Path(path).parents if not parent.exists()]
        self._note_made(missing)

    def note_directory(self, path: str) -> None:
        """Note that a directory is about to be made."""
        self.note_directories(path)
        self._note_made([path])

    def _note_made(self, paths: list[str]) -> None:
        listed = self._known()["directories"]
        # Of our own name too: what else is put into it is not ours.
        new = [
            path for path in paths if path not in listed and not path.startswith(str(self._directory.parent))
        ]
        if new:
            listed += new
            self._save()

    def note_group(self, name: str, before: int | None) -> None:
        """Note that a group is about to get another number, or to be made (``before`` is None)."""
        self._note("groups", name, before)

    def note_unit(self, name: str, enabled: bool, active: bool) -> None:
        """Note that a unit is about to be enabled and started."""
        if not own(name):
            self._note("units", name, {"enabled": enabled, "active": active})

    def note_packages(self, names: list[str]) -> None:
        """Note that packages are about to be installed; those that are there already are left out."""
        there = installed_packages(DPKG_STATUS.read_text(errors="replace"))
        listed = self._known()["packages"]
        new = [name for name in names if name not in there and name not in listed]
        if new:
            listed += new
            self._save()

    def _note(self, kind: str, name: str, before: Any) -> None:
        known = self._known()[kind]
        if name not in known:
            known[name] = before
            self._save()

    def _kept(self, path: str, old: bytes) -> dict[str, Any]:
        originals = self._directory / ORIGINALS
        self._make(originals)
        name = hashlib.sha256(path.encode()).hexdigest()[:16]
        _write(originals / name, old)
        found = Path(path).stat()
        return {"original": name, "mode": found.st_mode & 0o7777, "uid": found.st_uid, "gid": found.st_gid}

    def _known(self) -> dict[str, Any]:
        if self._document is None:
            path = self._directory / DOCUMENT
            self._document = json.loads(path.read_text()) if path.exists() else _empty()
        return self._document

    def _save(self) -> None:
        self._make(self._directory)
        _write(self._directory / DOCUMENT, json.dumps(self._document, indent=1).encode() + b"\n")

    def _make(self, directory: Path) -> None:
        # /etc/ovms-edge is everybody's to read, what lies below it here is root's.
        self._directory.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        for made in (self._directory, directory):
            made.mkdir(mode=0o700, exist_ok=True)


def note_packages(names: list[str], check: bool) -> dict[str, Any]:
    """Put packages that are about to be installed on record; as a program's answer."""
    if names and not check:
        Record(RECORD).note_packages(names)
    return {"ok": True, "changes": []}


def _empty() -> dict[str, Any]:
    status = DPKG_STATUS.read_text(errors="replace") if DPKG_STATUS.exists() else ""
    before = {
        "packages": sorted(installed_packages(status)),
        "groups": sorted(g.gr_name for g in grp.getgrall()),
    }
    return {
        "schema": 1,
        "before": before,
        "files": {},
        "directories": [],
        "groups": {},
        "units": {},
        "packages": [],
    }


def _write(path: Path, data: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
