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
from ovms_edge.release.content import EXPORT_RECORD, GRAPH_FILE
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

    @property
    def present(self) -> Path:
        """Where the model that is there is now: ``replaced`` if a kill left it there."""
        return self.replaced if _is_there(self.replaced) and not _is_there(self.target) else self.target

    def check(self, repository: Path) -> None:
        """Raise EdgeError if no model can be made here, whatever it is."""
        if self.target.is_symlink():
            raise EdgeError(
                f"{self.target} is a symbolic link: no model can be put in place of it",
                "remove the link; for another disk name a --model_repository_path there",
            )
        for directory in self.target.parents:
            if _is_there(directory) and not directory.is_dir():
                raise EdgeError(f"{directory} is no directory", "choose another --model_repository_path")
            if directory.is_relative_to(repository) and _is_model(directory):
                raise EdgeError(
                    f"{directory} is a model itself, {self.target} would be inside it",
                    "choose another --model_name or --model_repository_path",
                )
        existing = next(directory for directory in self.target.absolute().parents if directory.is_dir())
        if not os.access(existing, os.W_OK | os.X_OK):
            raise EdgeError(f"{existing} is not writable", "mend its permissions, or choose another place")
        inner = sorted(path.parent for path in self.target.rglob(GRAPH_FILE) if path.parent != self.target)
        if inner:  # a draft model has no graph of its own
            raise EdgeError(
                f"{self.target} holds another model, {inner[0]}",
                "move it away, or choose another --model_name",
            )

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the place; yields the lock's descriptor, for a child that must hold it as long as it lives.

        Raises EdgeError if another export works on the same model.
        """
        _make_directory(self.target.parent)
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

    def recover(self, *, dry_run: bool = False) -> list[str]:
        """Undo what a killed run left half done; returns what was (or would be) done, as lines to show."""
        removed, put = ("would remove", "would put") if dry_run else ("removed", "put")
        done = []
        if _is_there(self.workspace):
            if not dry_run:
                _remove(self.workspace)
            done.append(f"{removed} {self.workspace}: left by an export that was interrupted")
        if _is_there(self.replaced):
            if _is_there(self.target):
                if not dry_run:
                    _remove(self.replaced)
                done.append(f"{removed} {self.replaced}: the export that replaced it is in place")
            else:
                if not dry_run:
                    self.replaced.rename(self.target)
                    sync(self.target.parent)
                done.append(f"{put} {self.target} back: an export was interrupted while replacing it")
        return done

    def discard(self) -> None:
        """Remove the work in progress, if there is any."""
        if _is_there(self.workspace):
            _remove(self.workspace)

    def reuse(self) -> None:
        """Stage the model that is in place, its files linked: they are this repository's own."""
        self.workspace.mkdir()
        shutil.copytree(self.target, self.staging, copy_function=os.link)

    def publish(self) -> None:
        """Move the staged model to its place; it is on disk before it is visible."""
        _make_readable(self.staging)
        sync_tree(self.staging)
        if _is_there(self.target):
            self.target.rename(self.replaced)
        self.staging.rename(self.target)
        sync(self.target.parent)
        if _is_there(self.replaced):
            _remove(self.replaced)
        self.discard()

    def _beside(self, role: str) -> Path:
        return self.target.parent / f".{self.target.name}.{role}"


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)  # a link is, wherever it points to


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _is_model(directory: Path) -> bool:
    return any((directory / name).is_file() for name in (GRAPH_FILE, EXPORT_RECORD)) or any(
        directory.glob("openvino_*.xml")
    )


def _make_directory(directory: Path) -> None:
    """Make it and those above it, for OVMS to pass through whatever the umask is here."""
    if not directory.is_dir():
        _make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)


def _make_readable(directory: Path) -> None:
    """OVMS reads the model as uid 5000, whatever the umask was here (Dockerfile.ubuntu of v2025.4.1)."""
    directory.chmod(0o755)
    for path in directory.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
