"""Days and times of the week as people write them, for rates on a node and for windows of a rollout. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ovms_edge.errors import UsageError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True)
class Span:
    """From ``start`` to ``end`` (minutes of the day) on ``days`` (0: Monday).

    An ``end`` that is not after ``start`` is on the next day.
    """

    days: frozenset[int]
    start: int
    end: int

    def covers(self, weekday: int, minute: int) -> bool:
        """Whether ``minute`` of ``weekday`` lies in it."""
        if self.start < self.end:
            return weekday in self.days and self.start <= minute < self.end
        yesterday = (weekday - 1) % len(DAYS)
        return (weekday in self.days and minute >= self.start) or (
            yesterday in self.days and minute < self.end
        )


def parse_days(text: object, what: str) -> frozenset[int]:
    """Return the days of ``mon-fri`` or ``sat,sun``; raises UsageError naming ``what``."""
    days: set[int] = set()
    for part in text.split(",") if isinstance(text, str) else ("",):
        first, _, last = part.strip().lower().partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise UsageError(f"{what} are {text!r}", "write such as mon-fri or sat,sun")
        days.update(_through(DAYS.index(first), DAYS.index(last or first)))
    return frozenset(days)


def parse_minute(text: object, what: str) -> int:
    """Return the minute of the day of ``22:00``, up to ``24:00``; raises UsageError naming ``what``."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise UsageError(f"{what} is {text!r}", "write HH:MM, such as 22:00")
    return int(match[1]) * 60 + int(match[2]) if match[1] else _DAY_MINUTES


def _through(first: int, last: int) -> Sequence[int]:
    return [(first + step) % len(DAYS) for step in range((last - first) % len(DAYS) + 1)]
