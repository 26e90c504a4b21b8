"""One servable entered into a ``config.json``, all else as it was."""

from __future__ import annotations

import difflib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ovms_edge.config_file.check import check_config, read_config_text
from ovms_edge.config_file.document import read_document
from ovms_edge.config_file.schema import GRAPHS_AMONG_MODELS, version_tuple
from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.ovms.config import with_servable
from ovms_edge.release.durable import write_atomically

_INDENT = re.compile(r"^([ \t]+)\S", re.MULTILINE)
_DEFAULT_INDENT = "    "
_EMPTY = '{"model_config_list": []}'


@dataclass(frozen=True)
class Merge:
    """The text before and after; ``before`` is empty where there was no file."""

    file: Path
    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether the file would change."""
        return self.before != self.after

    @property
    def diff(self) -> str:
        """The change as a unified diff; empty if there is none."""
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(difflib.unified_diff(before, after, str(self.file), str(self.file)))


def merge_servable(file: Path, name: str, base_path: str, ovms_version: str, *, dry_run: bool) -> Merge:
    """Enter ``name`` with ``base_path`` into ``file``, which is made if there is none.

    A reader finds the old content or the new. Raises EdgeError for a file that OVMS would refuse, before or
    after, and then leaves it as it is.
    """
    given, file = file, file.resolve()  # a link stays one, and the directory behind it is held
    if not base_path:
        raise UsageError("--base-path is empty", "give the directory of the model")
    if not file.parent.is_dir():
        raise EdgeError(f"no directory {file.parent}", "make it first, or correct the path")
    try:
        with _locked(file.parent):
            merge = plan_merge(file, name, base_path, ovms_version)
            if merge.changed and not dry_run:
                _write(file, merge.after.encode())
    except OSError as error:
        raise EdgeError(
            f"{file} cannot be written: {error.strerror}",
            "mend the permissions of its directory, or the disk",
        ) from error
    return replace(merge, file=given)


def _write(file: Path, data: bytes) -> None:
    """Replace the content; mode and owner of a file that is there stay, or OSError is raised."""
    old = file.stat() if file.exists() else None
    write_atomically(file, data, like=old)


def plan_merge(file: Path, name: str, base_path: str, ovms_version: str) -> Merge:
    """Return what entering ``name`` would do; raises EdgeError as ``merge_servable``."""
    if version_tuple(ovms_version) < GRAPHS_AMONG_MODELS:
        raise EdgeError(
            f"OVMS {ovms_version} looks for graphs in mediapipe_config_list, which merge does not write",
            f'enter {{"name": "{name}", "base_path": "{base_path}"}} there yourself',
        )
    before = read_config_text(file) if file.exists() else ""
    _require_accepted(before or _EMPTY, file, ovms_version, "mend it first (ovms-edge config check)")
    document = read_document(before or _EMPTY)
    if document.repeated:
        key = document.repeated[0][0][-1]
        raise EdgeError(f"{file} holds {key!r} twice, and one would be lost", "remove one of them first")
    config = with_servable(document.value, name, base_path)
    if config == document.value and before:
        return Merge(file, before, before)
    after = json.dumps(config, indent=_indent(before), ensure_ascii=False) + "\n"
    _require_accepted(after, file, ovms_version, "choose another name, or another OVMS version")
    return Merge(file, before, after)


def _require_accepted(text: str, file: Path, ovms_version: str, remedy: str) -> None:
    errors = [finding for finding in check_config(text, ovms_version) if finding.severity == "error"]
    if errors:
        raise EdgeError(f"OVMS {ovms_version} refuses {file}: {errors[0].message}", remedy)


def _indent(text: str) -> str:
    found = _INDENT.search(text)
    return found[1] if found else _DEFAULT_INDENT


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory, as an export into it does: both change the same file."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
