"""The clocks of this machine."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class RealClock:
    """``seconds`` counts while the machine sleeps, too (clock_gettime(2), CLOCK_BOOTTIME)."""

    def utc(self) -> datetime:
        """Return the time of day."""
        return datetime.now(UTC)

    def seconds(self) -> float:
        """Return the seconds since the machine started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
