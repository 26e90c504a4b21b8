"""When a store may be activated, by its own wall clock. No I/O but for the time zone database."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from ovms_edge.errors import EdgeError
from ovms_edge.node.week import DAYS, Span, parse_days, parse_minute

_DAY = timedelta(days=1)
# A window of one day a week that a change of clocks swallows opens a week later.
_LONGEST_WAIT = timedelta(days=16)


@dataclass(frozen=True, slots=True)
class Freeze:
    """Local days from ``first`` to ``last``, both frozen."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Calendar:
    """Open in any of ``windows`` (none: always) on days that are not frozen.

    Wall clocks count: where a change of clocks skips an hour, a window in it does not open that day; where an
    hour comes twice, so does the window.
    """

    windows: tuple[Span, ...] = ()
    freeze: tuple[Freeze, ...] = ()

    def open_at(self, moment: datetime, timezone: str) -> bool:
        """Return whether a store in ``timezone`` may be activated at ``moment``."""
        return self._open(moment.astimezone(zone_of(timezone)))

    def next_opening(self, moment: datetime, timezone: str) -> datetime | None:
        """Return, in UTC, the first moment from ``moment`` on that is open; None if none is within reach."""
        zone, now = zone_of(timezone), _utc(moment)
        if self._open(now.astimezone(zone)):
            return now
        latest = max([now.date(), *(days.last for days in self.freeze)])
        end = datetime.combine(latest, time(), now.tzinfo) + _LONGEST_WAIT
        while now < end:
            for candidate in sorted(self._changes(now, zone)):
                if candidate > now and self._open(candidate.astimezone(zone)):
                    return candidate
            now += _DAY
        return None

    @property
    def document(self) -> dict[str, Any]:
        """Return what stands in a plan."""
        return {
            "windows": [_window_document(window) for window in self.windows],
            "freeze": [{"from": str(days.first), "to": str(days.last)} for days in self.freeze],
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Calendar:
        """Return what ``document`` was made of."""
        windows = [
            Span(
                parse_days(entry["days"], "days"), *(parse_minute(entry[key], key) for key in ("from", "to"))
            )
            for entry in document["windows"]
        ]
        freeze = [
            Freeze(*(date.fromisoformat(days[key]) for key in ("from", "to"))) for days in document["freeze"]
        ]
        return cls(tuple(windows), tuple(freeze))

    def _open(self, wall: datetime) -> bool:
        today = wall.date()
        if any(days.first <= today <= days.last for days in self.freeze):
            return False
        minute = wall.hour * 60 + wall.minute
        return not self.windows or any(window.covers(wall.weekday(), minute) for window in self.windows)

    def _changes(self, now: datetime, zone: tzinfo) -> Iterator[datetime]:
        """Yield the moments of the day after ``now`` at which it may open."""
        edges = {0, *(minute for window in self.windows for minute in (window.start, window.end))}
        first = now.astimezone(zone).date()
        for day in (first + days * _DAY for days in range(3)):
            midnight = datetime.combine(day, time(), zone)
            for minute in edges:
                wall = midnight + timedelta(minutes=minute)
                yield from (_utc(wall.replace(fold=fold)) for fold in (0, 1))
        if _offset(now, zone) != _offset(now + _DAY, zone):
            yield _leap(now, zone)


def zone_of(name: str) -> tzinfo:
    """Return a time zone; raises EdgeError with the nearest name if there is none of this name."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:  # a name may also be no path, or a directory
        near = difflib.get_close_matches(name, available_timezones(), n=1)
        raise EdgeError(
            f"time zone {name!r} is not known",
            f"write {near[0] if near else 'a name such as Europe/Berlin or UTC'}",
        ) from error


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _offset(moment: datetime, zone: tzinfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


def _leap(before: datetime, zone: tzinfo) -> datetime:
    """Return the second within a day from ``before`` on at which the offset changes."""
    old, same, other = _offset(before, zone), 0, int(_DAY.total_seconds())
    while other - same > 1:
        middle = (same + other) // 2
        if _offset(before + timedelta(seconds=middle), zone) == old:
            same = middle
        else:
            other = middle
    return (before + timedelta(seconds=other)).replace(microsecond=0)


def _window_document(window: Span) -> dict[str, str]:
    return {
        "days": ",".join(DAYS[day] for day in sorted(window.days)),
        "from": _wall(window.start),
        "to": _wall(window.end),
    }


def _wall(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
