"""Read a git clone of model_server, bare or not, at its tags."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_TAG = re.compile(r"v(\d{4})\.(\d+)(?:\.(\d+))?")
_FIRST, _LAST = (2024, 4), (2026, 3)


@dataclass(frozen=True)
class Tree:
    """The sources at one tag; ``version`` is the tag as an OVMS version (``2025.4.1``)."""

    repository: Path
    tag: str

    @property
    def version(self) -> str:
        return self.tag.removeprefix("v")

    def files(self, pattern: str, *paths: str) -> list[str]:
        """Return the text files among ``paths`` (git pathspecs) that hold ``pattern`` (extended regex)."""
        listed = _git(self.repository, "grep", "-IlE", "-e", pattern, self.tag, "--", *paths, none_found=True)
        return [line.partition(":")[2] for line in listed.splitlines()]

    def read(self, path: str) -> str:
        return _git(self.repository, "show", f"{self.tag}:{path}")


def trees(repository: Path) -> list[Tree]:
    """Return the releases of the field matrix, oldest first."""
    found = {}
    for tag in _git(repository, "tag", "--list", "v20*").split():
        match = _TAG.fullmatch(tag)
        release = tuple(int(part or 0) for part in match.groups()) if match else ()
        if release and _FIRST <= release[:2] <= _LAST:
            found[release] = Tree(repository, tag)
    return [found[release] for release in sorted(found)]


def _git(repository: Path, *arguments: str, none_found: bool = False) -> str:
    result = subprocess.run(
        ["git", "-C", str(repository), *arguments], capture_output=True, encoding="utf-8", check=False
    )
    if result.returncode and not (none_found and result.returncode == 1 and not result.stderr):
        raise SystemExit(f"git {' '.join(arguments[:3])} failed: {result.stderr.strip()}")
    return result.stdout
