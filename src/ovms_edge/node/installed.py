"""What was changed of this host that was there before us: the record that the roles write, and what it means.

``/etc/ovms-edge/record``, by plugins/plugin_utils/_record_program.py. No I/O but reading it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError

RECORD = Path("/etc/ovms-edge/record")
DOCUMENT = "installed.json"
_ORIGINALS = "originals"
_SCHEMA = 1


@dataclass(frozen=True)
class RecordedFile:
    """A file that we wrote, and how it was before: ``original`` is None if it was not there.

    ``sha256`` is of what we wrote last; ``merged`` has a digest of each value that we set in a JSON file.
    """

    path: Path
    original: bytes | None
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    sha256: str = ""
    merged: Mapping[tuple[str, ...], str] | None = None


@dataclass(frozen=True)
class Installed:
    """The whole record; empty on a host that was set up before there was one."""

    found: bool = False
    packages_before: frozenset[str] = frozenset()
    files: tuple[RecordedFile, ...] = ()
    directories: tuple[Path, ...] = ()
    groups: Mapping[str, int | None] = field(default_factory=dict)
    groups_before: frozenset[str] = frozenset()
    units: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    packages: tuple[str, ...] = ()


def load_installed(directory: Path) -> Installed:
    """Read the record; raises EdgeError if it is damaged."""
    path = directory / DOCUMENT
    try:
        document = json.loads(path.read_bytes())
        if document["schema"] != _SCHEMA:
            raise ValueError(f"schema {document['schema']!r}, this ovms-node reads {_SCHEMA}")
        return Installed(
            found=True,
            packages_before=frozenset(document["before"]["packages"]),
            groups_before=frozenset(document["before"]["groups"]),
            files=tuple(
                _file(Path(name), entry, directory / _ORIGINALS) for name, entry in document["files"].items()
            ),
            directories=tuple(map(Path, document["directories"])),
            groups=document["groups"],
            units=document["units"],
            packages=tuple(document["packages"]),
        )
    except FileNotFoundError as error:
        if error.filename == str(path):
            return Installed()
        raise EdgeError(f"{path} names {error.filename}, which is gone", _damaged(path)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EdgeError(f"{path} is damaged: {error}", _damaged(path)) from error


def restored(file: RecordedFile, content: bytes | None) -> bytes | None:
    """Return what a file that holds ``content`` has to hold once ours is out of it; None: it has to go.

    What somebody else wrote meanwhile stays: a whole file then, in JSON all but the values that we set.
    """
    if content is None:
        return None
    if file.merged is not None:
        return _unmerged(file, file.merged, content)
    return file.original if hashlib.sha256(content).hexdigest() == file.sha256 else content


def _unmerged(file: RecordedFile, merged: Mapping[tuple[str, ...], str], content: bytes) -> bytes | None:
    try:
        document = json.loads(content)
        before = json.loads(file.original) if file.original and file.original.strip() else {}
    except ValueError:
        return content
    if not isinstance(document, dict) or not isinstance(before, dict):
        return content
    changed = False
    for keys, digest in merged.items():
        changed |= _take_out(document, before, keys, digest)
    if not changed:
        return content
    if document == before:
        return file.original
    return json.dumps(document, indent=2).encode() + b"\n"


def _take_out(document: Any, before: Any, keys: tuple[str, ...], digest: str) -> bool:
    """Give the value at ``keys`` back what it had, if it is ours still; returns whether it was."""
    key, *rest = keys
    if not isinstance(document, dict) or key not in document:
        return False
    earlier = before.get(key) if isinstance(before, dict) else None
    if rest:
        taken = _take_out(document[key], earlier, tuple(rest), digest)
        if taken and document[key] == {} and earlier is None:
            del document[key]
        return taken
    if hashlib.sha256(json.dumps(document[key], sort_keys=True).encode()).hexdigest() != digest:
        return False
    if isinstance(before, dict) and key in before:
        document[key] = before[key]
    else:
        del document[key]
    return True


def _file(path: Path, entry: Mapping[str, Any], originals: Path) -> RecordedFile:
    name, merged = entry["original"], entry.get("merged")
    return RecordedFile(
        path=path,
        original=(originals / name).read_bytes() if name else None,
        mode=entry.get("mode", 0o644),
        uid=entry.get("uid", 0),
        gid=entry.get("gid", 0),
        sha256=entry["sha256"],
        merged={tuple(json.loads(keys)): digest for keys, digest in merged.items()} if merged else None,
    )


def _damaged(path: Path) -> str:
    return f"mend it, or move {path.parent} away: what it tells of is left then"
