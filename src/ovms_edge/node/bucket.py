"""A token bucket for bytes. No clock and no sleep of its own."""

from __future__ import annotations

from dataclasses import dataclass

_SMALLEST_GRANT = 1 << 10
_LARGEST_GRANT = 256 << 10
_GRANT_SECONDS = 0.02
_BURST_SECONDS = 0.1


@dataclass
class Bucket:
    """``rate`` in bytes a second, above 0. What was not used flows over after a tenth of a second."""

    rate: int
    tokens: float = 0.0
    filled_at: float = 0.0

    def grant(self, size: int, now: float) -> int:
        """Return how many of ``size`` bytes may be read at ``now``, 0 if none yet."""
        portion = min(max(int(self.rate * _GRANT_SECONDS), _SMALLEST_GRANT), _LARGEST_GRANT)
        limit = max(self.rate * _BURST_SECONDS, 2.0 * portion)
        elapsed = max(now - self.filled_at, 0.0)
        self.tokens, self.filled_at = min(self.tokens + elapsed * self.rate, limit), now
        if self.tokens < min(size, portion):
            return 0
        granted = min(size, int(self.tokens))
        self.tokens -= granted
        return granted

    def seconds_until(self, size: int) -> float:
        """Return how long the bucket needs to have a portion for ``size`` bytes."""
        portion = min(max(int(self.rate * _GRANT_SECONDS), _SMALLEST_GRANT), _LARGEST_GRANT, size)
        return max(portion - self.tokens, 1.0) / self.rate
