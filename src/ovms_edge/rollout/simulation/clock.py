"""Time that passes only when somebody waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_BEGIN = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


class VirtualClock:
    """``jump``: what somebody set the time of day forward or back by, in seconds; durations do not see it."""

    def __init__(self, begin: datetime = _BEGIN) -> None:
        self._begin = begin
        self._seconds = 0.0
        self.jump = 0.0

    def utc(self) -> datetime:
        """Return the time of day."""
        return self._begin + timedelta(seconds=self._seconds + self.jump)

    def seconds(self) -> float:
        """Return the seconds that have passed."""
        return self._seconds

    def pass_to(self, seconds: float) -> None:
        """Let time pass until ``seconds``, if that is not over."""
        self._seconds = max(self._seconds, seconds)
