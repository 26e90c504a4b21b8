"""Where an export becomes a model: written beside its place, moved there whole, or not at all.

For a target ``REPO/Qwen/NAME``: ``.NAME.exporting`` is work in progress, ``.NAME.replaced`` the former
export while the new one takes its place, ``.NAME.lock`` says that somebody is at it. Whatever a killed run
left behind is recognised by these names and never by looking at half-written content.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.release.durable import sync, sync_tree


@dataclass(frozen=True)
class Place:
    """The directory ``target`` of one model, and the names beside it."""

    target: Path

    @property
    def workspace(self) -> Path:
        """Work in progress: the model and what the converter said."""
        return self._beside("exporting")

    @property
    def staging(self) -> Path:
        """The model while it is being written."""
        return self.workspace / "model"

    @property
    def replaced(self) -> Path:
        """The former export while the new one takes its place."""
        return self._beside("replaced")

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the place; yields the lock's descriptor, for a child that must hold it as long as it lives.

        Raises EdgeError if another export works on the same model.
        """
        self.target.parent.mkdir(parents=True, exist_ok=True)
        lock = self._beside("lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise EdgeError(
                    f"another export to {self.target} is running (it holds {lock})", "wait until it has ended"
                ) from error
            yield descriptor
        finally:
            os.close(descriptor)

    def recover(self) -> list[str]:
        """Undo what a killed run left half done; returns what was done, as lines to show."""
        done = []
        if self.workspace.exists():
            shutil.rmtree(self.workspace)
            done.append(f"removed {self.workspace}: left by an export that was interrupted")
        if self.replaced.exists():
            if self.target.exists():
                shutil.rmtree(self.replaced)
                done.append(f"removed {self.replaced}: the export that replaced it is in place")
            else:
                self.replaced.rename(self.target)
                sync(self.target.parent)
                done.append(f"put {self.target} back: an export was interrupted while replacing it")
        return done

    def discard(self) -> None:
        """Remove the work in progress, if there is any."""
        if self.workspace.exists():
            shutil.rmtree(self.workspace)

    def reuse(self) -> None:
        """Stage the model that is in place, its files linked: they are this repository's own."""
        self.workspace.mkdir()
        shutil.copytree(self.target, self.staging, copy_function=os.link)

    def publish(self) -> None:
        """Move the staged model to its place; it is on disk before it is visible."""
        _make_readable(self.staging)
        sync_tree(self.staging)
        if self.target.exists():
            self.target.rename(self.replaced)
        self.staging.rename(self.target)
        sync(self.target.parent)
        if self.replaced.exists():
            shutil.rmtree(self.replaced)
        self.discard()

    def _beside(self, role: str) -> Path:
        return self.target.parent / f".{self.target.name}.{role}"


def _make_readable(directory: Path) -> None:
    """OVMS reads the model as uid 5000, whatever the umask was here (Dockerfile.ubuntu of v2025.4.1)."""
    directory.chmod(0o755)
    for path in directory.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
