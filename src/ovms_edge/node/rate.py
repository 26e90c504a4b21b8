"""Rates of a link, and the week's schedule of them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from ovms_edge.errors import UsageError
from ovms_edge.node.known_keys import checked_object
from ovms_edge.node.week import DAYS, Span, parse_days, parse_minute

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(k|M|G)bit")
_UNITS = {"k": 10**3, "M": 10**6, "G": 10**9}
_WINDOW = "a window of transfer.schedule"


def parse_rate(text: object, what: str = "rate") -> int | None:
    """Return bytes a second from ``10Mbit`` (kbit, Mbit, Gbit as in tc(8)); 0: nothing, None: no limit.

    Raises UsageError naming ``what``.
    """
    if text is None:
        return None
    if text in (0, "0"):
        return 0
    match = _RATE.fullmatch(text) if isinstance(text, str) else None
    rate = int(float(match[1]) * _UNITS[match[2]] / 8) if match else 0
    if not rate:
        raise UsageError(
            f"{what} is {text!r}", "write a number and kbit, Mbit or Gbit, such as 10Mbit; 0 for a pause"
        )
    return rate


@dataclass(frozen=True)
class Window(Span):
    """A rate at some time of the week."""

    rate: int | None


@dataclass(frozen=True)
class Schedule:
    """``rate`` in bytes a second wherever no window is open; of several that are, the first counts."""

    rate: int | None = None
    windows: tuple[Window, ...] = ()

    def rate_at(self, moment: datetime) -> int | None:
        """Return the rate at a local time."""
        minute = moment.hour * 60 + moment.minute
        return next((w.rate for w in self.windows if w.covers(moment.weekday(), minute)), self.rate)

    def next_change(self, moment: datetime) -> datetime | None:
        """Return when another rate begins after a local time, as a wall clock shows it; None: never.

        Without a zone: a window opens at 22:00 whatever the offset from UTC is by then.
        """
        wall, rate = moment.replace(tzinfo=None), self.rate_at(moment)
        midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        edges = (
            midnight + timedelta(days=day, minutes=minute)
            for day in range(len(DAYS) + 1)
            for minute in sorted({edge for window in self.windows for edge in (window.start, window.end)})
        )
        return next((edge for edge in edges if edge > wall and self.rate_at(edge) != rate), None)


def parse_schedule(rate: object, windows: object) -> Schedule:
    """Read ``transfer.rate`` and ``transfer.schedule`` of the node's settings; raises UsageError."""
    if not isinstance(windows, list):
        raise UsageError(f"transfer.schedule is {windows!r:.60}", "write a list of windows")
    return Schedule(parse_rate(rate, "transfer.rate"), tuple(_window(entry) for entry in windows))


def _window(entry: object) -> Window:
    document = checked_object(entry, ("days", "from", "to", "rate"), "transfer.schedule setting")
    for key in ("from", "to", "rate"):
        if key not in document:
            raise UsageError(f"{_WINDOW} has no {key}", "write days, from, to and rate")
    return Window(
        parse_days(document.get("days", "mon-sun"), f"days of {_WINDOW}"),
        parse_minute(document["from"], f"time of {_WINDOW}"),
        parse_minute(document["to"], f"time of {_WINDOW}"),
        parse_rate(document["rate"], f"rate of {_WINDOW}"),
    )
