"""What ``decommission`` takes away, item by item, or would."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.output import log


@dataclass
class Removal:
    """Collects what was done; with ``check`` nothing is touched, and it says what would be."""

    check: bool
    removed: list[dict[str, str]] = field(default_factory=list)
    left: list[dict[str, str]] = field(default_factory=list)

    def take(self, what: str, name: object, how: str = "removed") -> bool:
        """Note that ``name`` goes (or goes back); returns whether to do so now."""
        self.removed.append({"what": what, "name": str(name), "how": how})
        if not self.check:
            log(f"{how}: {what} {name}")
        return not self.check

    def leave(self, what: str, name: object, why: str) -> None:
        """Note that ``name`` stays, and why."""
        self.left.append({"what": what, "name": str(name), "why": why})

    @property
    def document(self) -> dict[str, Any]:
        """The answer of the command."""
        return {"ok": True, "changed": bool(self.removed), "removed": self.removed, "left": self.left}


def run(*command: str, environment: dict[str, str] | None = None) -> str:
    """Return what a command prints; raises EdgeError with what it says if it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environment
        )
    except OSError as error:
        raise EdgeError(
            f"{command[0]}: {error.strerror}", "install it, and run decommission again"
        ) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no reason").splitlines()[-1]
        raise EdgeError(f"{' '.join(command)}: {said}", "mend that on the host, and run decommission again")
    return done.stdout


def attempt(*command: str) -> bool:
    """Run a command that may well fail; returns whether it did not."""
    try:
        return (
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
            == 0
        )
    except OSError:
        return False
