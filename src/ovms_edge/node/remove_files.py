"""Takes away the files that the roles and this tool wrote, and gives others' files back what they had."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ovms_edge.node.files import remove_tree, write_atomic
from ovms_edge.node.installed import DOCUMENT, RECORD, Installed, restored
from ovms_edge.node.removal import Removal

CONFIG_DIRECTORY = Path("/etc/ovms-edge")
TOOL = Path("/usr/local/bin/ovms-node")
_ETC = Path("/etc")
_OWN_NAME = re.compile(r"(\d\d)?-?ovms[-_]edge([-_.].*)?$")
# A cache of the depot on the same host is another role's, and not of a store.
_CACHE = "site-cache"
# What this tool keeps below its state directory.
_STATE = (
    *("releases", "models", "cache", "staging", "status", "state.json", "journal.jsonl", "journal.jsonl.1"),
    *("switch-counts.json", "gate.json", "status.json", "status.lock", "lock", "serve.lock", "transfer.json"),
    *("transfer-control.json", "pins.json", "images.json"),
)
# What a write that was cut off leaves of them.
_BEGUN = tuple(f".{name}.new" for name in _STATE)


def own_files(etc: Path) -> list[Path]:
    """Return the files and links below ``etc`` that bear our name, but for our own directory there."""
    found = []
    for directory, names, files in os.walk(etc):
        here = Path(directory)
        if here == etc:
            names[:] = [name for name in names if name != CONFIG_DIRECTORY.name]
        found += [here / name for name in files if _OWN_NAME.match(name) and _CACHE not in name]
    return sorted(found)


def remove_state(removal: Removal, state_dir: Path, keep_releases: bool) -> None:
    """Remove what this tool keeps there, and nothing that others put beside it."""
    if not state_dir.is_dir():
        return
    for name in (*_STATE, *_BEGUN):
        path = state_dir / name
        if not path.exists():
            continue
        if keep_releases and name == "releases":
            removal.leave("directory", path, "decommission_keep_releases")
            continue
        kind = "directory" if path.is_dir() else "file"
        if removal.take(kind, path):
            _remove(path)
    rest = sorted(path.name for path in state_dir.iterdir() if path.name not in (*_STATE, *_BEGUN))
    if rest:
        removal.leave("directory", state_dir, f"it holds what is not ours: {', '.join(rest)}")


def restore_files(removal: Removal, installed: Installed) -> None:
    """Bring each file that was not ours to what it would hold without us."""
    for file in installed.files:
        content = file.path.read_bytes() if file.path.is_file() else None
        wanted = restored(file, content)
        if content == wanted:
            if content is not None and content != file.original:
                removal.leave("file", file.path, "somebody else changed it after us")
        elif wanted is None:
            if removal.take("file", file.path):
                file.path.unlink()
        elif removal.take("file", file.path, "restored"):
            write_atomic(file.path, wanted, file.mode, owner=(file.uid, file.gid))


def own_paths(more: Iterable[Path] = ()) -> list[Path]:
    """Return the files by our name below /etc, the tool, and those of ``more`` that are there."""
    return [path for path in (*own_files(_ETC), TOOL, *more) if path.is_symlink() or path.exists()]


def remove_paths(removal: Removal, paths: Iterable[Path]) -> None:
    """Remove files, and directories with all that is in them."""
    for path in paths:
        if removal.take("directory" if path.is_dir() else "file", path):
            _remove(path)


def remove_directories(removal: Removal, directories: Iterable[Path]) -> None:
    """Remove directories that were made for our files, where nothing is in them."""
    for path in sorted(directories, key=lambda path: -len(path.parts)):
        if (
            path.is_dir()
            and not path.is_mount()
            and not any(path.iterdir())
            and removal.take("directory", path)
        ):
            path.rmdir()


def is_set_up() -> bool:
    """Whether there is more of ours than what the very end of a removal leaves if it is cut off."""
    return TOOL.exists() or bool(_own_config())


def remove_config(removal: Removal) -> None:
    """Remove our directory in /etc, the record in it last: with it goes what a next run would need."""
    if not CONFIG_DIRECTORY.is_dir():
        return
    cache = CONFIG_DIRECTORY / _CACHE
    if cache.exists():
        removal.leave("directory", cache, "the cache of this site is no part of a store")
        if not _own_config():
            return
    if not removal.take("directory", CONFIG_DIRECTORY):
        return
    for path in _own_config():
        if path.name == RECORD.name:
            (path / DOCUMENT).unlink(missing_ok=True)  # one that names originals that are gone is damaged
        _remove(path)
    if not cache.exists():
        CONFIG_DIRECTORY.rmdir()


def _own_config() -> list[Path]:
    found = CONFIG_DIRECTORY.iterdir() if CONFIG_DIRECTORY.is_dir() else ()
    return sorted((path for path in found if path.name != _CACHE), key=lambda path: path.name == RECORD.name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink()
