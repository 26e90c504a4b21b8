"""How fast bytes may come, asked by every connection before each read."""

from __future__ import annotations

import time
from typing import Protocol


class Pace(Protocol):
    """Called from several threads."""

    def take(self, size: int) -> int:
        """Wait until bytes may be read (rate, pause); return how many: 1 to ``size``."""

    def arrived(self, size: int) -> None:
        """Count ``size`` bytes of a body that came."""

    def wait(self, seconds: float, reason: str) -> None:
        """Wait before a request, and on while it is paused; ``reason`` is what went wrong before it."""


class Unhurried:
    """No limit, nothing counted."""

    def take(self, size: int) -> int:
        """Return ``size`` at once."""
        return size

    def arrived(self, size: int) -> None:
        """Do nothing."""

    def wait(self, seconds: float, reason: str) -> None:  # noqa: ARG002
        """Sleep."""
        time.sleep(seconds)
