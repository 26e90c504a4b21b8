"""Which staged releases stay, and the removal of the others."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, ReleaseRef
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.files import remove_tree, sync_directory
from ovms_edge.node.lock import exclusive
from ovms_edge.node.output import log, size_text
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.pins import load_pins
from ovms_edge.node.state import load_state, record
from ovms_edge.node.status import kept_status

_STALE_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class Cleaning:
    """What goes and what stays. ``stale``: what calls left behind that did not end."""

    removed: tuple[ReleaseRef, ...]
    kept: tuple[tuple[ReleaseRef, str], ...]
    stale: tuple[Path, ...]
    freed_bytes: int

    @property
    def document(self) -> dict[str, Any]:
        """What ``gc`` reports."""
        changed = bool(self.removed or self.stale)
        before = {"releases": len(self.removed) + len(self.kept)}
        diff = {"diff": {"before": before, "after": {"releases": len(self.kept)}}} if changed else {}
        return {
            "ok": True,
            "changed": changed,
            "removed": [str(ref) for ref in self.removed],
            "kept": [{"release": str(ref), "why": why} for ref, why in self.kept],
            "freed_bytes": self.freed_bytes,
            **diff,
        }


def plan_cleaning(config: NodeConfig, staged: ReleaseRef | None = None) -> Cleaning:
    """Return what ``clean`` would do, straight after a stage of ``staged``. Reads only."""
    paths = StatePaths(config.state_dir)
    reasons = _reasons(config, paths)
    if staged:
        reasons.setdefault(staged, "staged now")  # also where active and previous are as many as may stay
    present = _present(paths)
    kept = [(ref, reasons[ref]) for ref in present if ref in reasons]
    others = [ref for ref in present if ref not in reasons and not _revoked(config, ref)]
    newest = others[: max(config.releases_kept - len(kept), 0)]
    kept += [(ref, "newest") for ref in newest]
    staying = {ref for ref, _ in kept}
    removed = tuple(ref for ref in present if ref not in staying)
    stale = tuple(_stale(paths))
    gone = [*(paths.release(ref) for ref in removed), *stale]
    return Cleaning(removed, tuple(kept), stale, sum(_freed_bytes(path) for path in gone))


def clean(config: NodeConfig, cleaning: Cleaning) -> None:
    """Remove. A release goes in one step, so that killed anywhere it is whole or not there."""
    paths = StatePaths(config.state_dir)
    for ref in cleaning.removed:
        final, target = paths.release(ref), paths.removed / f"{ref.name}@{ref.version}"
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_tree(target)
        final.chmod(0o755)  # a directory that is renamed has to be writable, for root too on some systems
        final.rename(target)
        sync_directory(final.parent)
        record(paths.journal, "removed", release=str(ref))
        log(f"{ref} removed")
        if not any(final.parent.iterdir()):
            final.parent.rmdir()
    for path in cleaning.stale:
        remove_tree(path)
    remove_tree(paths.removed)


def clean_up(config: NodeConfig, staged: ReleaseRef) -> None:
    """Make room after a stage of ``staged``. What keeps it from doing so is no failure of the stage."""
    try:
        with exclusive(StatePaths(config.state_dir).serve_lock, wait_seconds=0):
            cleaning = plan_cleaning(config, staged)
            clean(config, cleaning)
    except (EdgeError, OSError) as error:
        log(f"nothing was cleaned up: {error}")
    else:
        if cleaning.freed_bytes:
            log(f"{size_text(cleaning.freed_bytes)} freed")


def _reasons(config: NodeConfig, paths: StatePaths) -> dict[ReleaseRef, str]:
    """Return why releases stay, whatever their age; the first reason counts."""
    state = load_state(paths.state)
    reasons: dict[ReleaseRef, str] = {}
    for why, served in (("active", state.active), ("previous", state.previous), ("pending", state.pending)):
        if served:
            reasons.setdefault(ReleaseRef.parse(served.release), why)
    for ref in load_pins(paths):
        reasons.setdefault(ref, "pinned here")
    for ref in _present(paths):
        status = kept_status(config, ref.name)
        if status and ref.version in status.pinned:
            reasons.setdefault(ref, "pinned by the status list")
    return reasons


def _present(paths: StatePaths) -> list[ReleaseRef]:
    """Return all releases here, the last staged first; what has no manifest is none and goes last."""
    found = []
    for directory in paths.releases.glob("*/*"):
        manifest = directory / MANIFEST_FILE
        staged = manifest.stat().st_mtime if manifest.is_file() else 0.0
        found.append((-staged, ReleaseRef(directory.parent.name, directory.name)))
    return [ref for _, ref in sorted(found)]


def _revoked(config: NodeConfig, ref: ReleaseRef) -> bool:
    status = kept_status(config, ref.name)
    return bool(status and status.revocation(ref.version))


def _stale(paths: StatePaths) -> Iterator[Path]:
    if paths.removed.exists():
        yield paths.removed
    for directory in paths.staging_root.glob("*/*/*"):  # blobs of images lie as deep
        newest = max((_modified(path) for path in [directory, *directory.rglob("*")]), default=0.0)
        if time.time() - newest > _STALE_SECONDS:
            yield directory


def _modified(path: Path) -> float:
    return path.lstat().st_mtime


def _freed_bytes(root: Path) -> int:
    """Return what the disk gets back: blocks of files that have no other name."""
    total = 0
    for directory, _, names in os.walk(root):
        for name in names:
            status = (Path(directory) / name).lstat()
            total += status.st_blocks * 512 if status.st_nlink == 1 else 0
    return total
