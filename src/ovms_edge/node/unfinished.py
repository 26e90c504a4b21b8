"""What ``decommission`` is about to take away, on the host until the end.

Half of it gone, the other half may not tell that it was ours: that a package came with another, say. So a
call that follows one that was cut off knows what to end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ovms_edge.node.files import write_atomic


class Unfinished:
    """The names that were noted, by what they are of. Without the directory of ``path`` nothing is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self, what: str) -> set[str]:
        """Return what was noted of ``what``, by this run or one before it."""
        return set(self._document().get(what, ()))

    def note(self, **names: Iterable[str]) -> None:
        """Note more of it, before the first of it goes."""
        before = self._document()
        after = before | {what: sorted({*before.get(what, ()), *more}) for what, more in names.items()}
        if after != before and self._path.parent.is_dir():
            write_atomic(self._path, json.dumps(after).encode(), 0o600)

    def _document(self) -> dict[str, list[str]]:
        try:
            document: dict[str, list[str]] = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        return document
