"""What the lab makes outside .lab: on record before it is there, so that it can go again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from . import files
from .settings import Settings


def note(settings: Settings, path: Path) -> None:
    """Call before making ``path``. What is there already is not ours and not noted."""
    if path.exists() or path.is_symlink():
        return
    record = _read(settings)
    parents = [str(parent) for parent in path.parents if not parent.exists()]
    files.write_json(
        _file(settings),
        {
            "paths": sorted({*record["paths"], str(path)}),
            "parents": sorted({*record["parents"], *parents}),
        },
    )


def noted(settings: Settings) -> list[Path]:
    return [Path(path) for path in _read(settings)["paths"]]


def remove(settings: Settings) -> None:
    """Remove what was noted, and the directories that came with it if nobody else put anything there."""
    for path in noted(settings):
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
    for parent in map(Path, reversed(_read(settings)["parents"])):
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()


def _read(settings: Settings) -> dict[str, Any]:
    return {"paths": [], "parents": [], **files.read_json(_file(settings))}


def _file(settings: Settings) -> Path:
    return settings.home / "host" / "made.json"
