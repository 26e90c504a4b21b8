"""Where things lie below the state directory (docs/contracts.md, files on a node)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.manifest import ReleaseRef


@dataclass(frozen=True)
class StatePaths:
    """The layout of ``/var/lib/ovms-edge``."""

    root: Path

    @property
    def releases(self) -> Path:
        """Complete and verified releases."""
        return self.root / "releases"

    @property
    def models(self) -> Path:
        """Generations: what containers see at /models."""
        return self.root / "models"

    @property
    def cache(self) -> Path:
        """The compile cache, writable by the container's user."""
        return self.root / "cache"

    @property
    def state(self) -> Path:
        """What is active and what was before."""
        return self.root / "state.json"

    @property
    def journal(self) -> Path:
        """Every transition with its reason."""
        return self.root / "journal.jsonl"

    @property
    def journal_before(self) -> Path:
        """The journal's older half."""
        return self.root / "journal.jsonl.1"

    @property
    def switch_counts(self) -> Path:
        """How many switches there were, up to where in the journal."""
        return self.root / "switch-counts.json"

    @property
    def gate(self) -> Path:
        """What the last gate said."""
        return self.root / "gate.json"

    @property
    def status_file(self) -> Path:
        """What monitoring reads."""
        return self.root / "status.json"

    @property
    def status_lock(self) -> Path:
        """Held by whoever writes what monitoring reads."""
        return self.root / "status.lock"

    @property
    def lock(self) -> Path:
        """Held by whoever changes releases here."""
        return self.root / "lock"

    @property
    def serve_lock(self) -> Path:
        """Held by whoever changes what serves: a stage may take hours, and must not keep that from it."""
        return self.root / "serve.lock"

    @property
    def transfer(self) -> Path:
        """What the running or last stage says of itself."""
        return self.root / "transfer.json"

    @property
    def transfer_control(self) -> Path:
        """What whoever transfers is told: paused, rate."""
        return self.root / "transfer-control.json"

    @property
    def pins(self) -> Path:
        """Releases that the operator of this node wants kept."""
        return self.root / "pins.json"

    @property
    def staging_root(self) -> Path:
        """What is put together and not complete yet."""
        return self.root / "staging"

    @property
    def removed(self) -> Path:
        """What is no release any more and about to be deleted."""
        return self.staging_root / ".removed"

    @property
    def images(self) -> Path:
        """Images that were loaded and not pulled: digest to what the engine knows them by."""
        return self.root / "images.json"

    def image_blobs(self, digest: str) -> Path:
        """Return where the blobs of an image lie until it is loaded."""
        return self.staging_root / "images" / digest.partition(":")[2] / "blobs"

    def status(self, name: str) -> Path:
        """Return where the last status list seen of ``name`` is kept, with its signature."""
        return self.root / "status" / f"{name}.json"

    def release(self, ref: ReleaseRef) -> Path:
        """Where a staged release lies."""
        return self.releases / ref.name / ref.version

    def staging(self, ref: ReleaseRef) -> Path:
        """Where a release is put together, in a directory named after the manifest that it is to have."""
        return self.staging_root / ref.name / ref.version


def existing_parent(path: Path) -> Path:
    """Return ``path``, or the nearest directory above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """Return what may still be written at ``path`` (which need not exist yet), in bytes."""
    stat = os.statvfs(existing_parent(path))
    return stat.f_bavail * stat.f_frsize
