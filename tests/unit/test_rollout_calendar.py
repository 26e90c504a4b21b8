from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovms_edge.errors import EdgeError
from ovms_edge.node.week import Span, parse_days, parse_minute
from ovms_edge.rollout.calendar import Calendar, Freeze, zone_of

MINUTE = timedelta(minutes=1)
# Berlin goes forward at 01:00 UTC on 2026-03-29 and back at 01:00 UTC on 2026-10-25; Lord Howe by half an
# hour; the Chathams are 45 minutes off; Santiago goes forward at midnight, so that a day begins at 01:00.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "America/Santiago",
)
DST_DAYS = (date(2026, 3, 29), date(2026, 10, 25), date(2026, 3, 8), date(2026, 9, 6), date(2026, 4, 4))


def window(days: str, start: str, end: str) -> Span:
    return Span(parse_days(days, "days"), parse_minute(start, "from"), parse_minute(end, "to"))


def at(text: str, zone: str = "UTC", fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


NIGHT = Calendar((window("mon-fri", "22:00", "06:00"),))


@pytest.mark.parametrize(
    ("wall", "is_open"),
    [
        ("2026-11-27 21:59", False),  # a Friday
        ("2026-11-27 22:00", True),
        ("2026-11-28 05:59", True),  # still Friday's
        ("2026-11-28 06:00", False),
        ("2026-11-28 22:00", False),  # Saturday's
        ("2026-11-30 05:59", False),  # Sunday's
        ("2026-11-30 22:00", True),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens(wall: str, is_open: bool) -> None:
    assert NIGHT.open_at(at(wall, "Europe/Berlin"), "Europe/Berlin") is is_open


def test_a_window_is_by_the_stores_own_clock() -> None:
    moment = at("2026-11-27 22:30")
    assert NIGHT.open_at(moment, "Europe/Berlin")
    assert not NIGHT.open_at(moment, "America/New_York")
    assert NIGHT.next_opening(moment, "America/New_York") == at("2026-11-28 03:00")


def test_no_window_is_always_open_and_a_freeze_closes_local_days() -> None:
    zone, calendar = "Asia/Kolkata", Calendar((), (Freeze(date(2026, 12, 24), date(2026, 12, 26)),))
    assert calendar.open_at(at("2026-12-23 23:59", zone), zone)
    assert not calendar.open_at(at("2026-12-24 00:00", zone), zone)
    assert calendar.next_opening(at("2026-12-24 12:00"), zone) == at("2026-12-27 00:00", zone)


def test_a_freeze_of_months_is_waited_for() -> None:
    calendar = Calendar(NIGHT.windows, (Freeze(date(2026, 11, 1), date(2027, 3, 31)),))
    assert calendar.next_opening(at("2026-11-02 12:00"), "UTC") == at("2027-04-01 00:00")


def test_the_hour_that_is_skipped_opens_no_window_and_one_that_reaches_beyond_opens_after_it() -> None:
    before = at("2026-03-29 01:30", "Europe/Berlin")
    inside = Calendar((window("mon-sun", "02:15", "02:45"),))
    assert inside.next_opening(before, "Europe/Berlin") == at("2026-03-30 02:15", "Europe/Berlin")
    beyond = Calendar((window("mon-sun", "02:15", "04:00"),))
    assert beyond.next_opening(before, "Europe/Berlin") == at("2026-03-29 01:00")


def test_the_hour_that_comes_twice_opens_a_window_twice() -> None:
    calendar = Calendar((window("sun", "02:00", "02:30"),))
    first, second = (at("2026-10-25 02:00", "Europe/Berlin", fold) for fold in (0, 1))
    assert second - first == timedelta(hours=1)
    assert calendar.open_at(first, "Europe/Berlin")
    assert not calendar.open_at(first + 30 * MINUTE, "Europe/Berlin")
    assert calendar.next_opening(first + 30 * MINUTE, "Europe/Berlin") == second


def by_hand(calendar: Calendar, moment: datetime, zone: str) -> bool:
    """The rule said again: some window that began today or yesterday, by the minutes since that midnight."""
    wall = moment.astimezone(ZoneInfo(zone))
    if any(days.first <= wall.date() <= days.last for days in calendar.freeze):
        return False
    if not calendar.windows:
        return True
    for back in (0, 1):
        minute = wall.hour * 60 + wall.minute + back * 1440
        day = (wall.weekday() - back) % 7
        for one in calendar.windows:
            end = one.end if one.end > one.start else one.end + 1440
            if day in one.days and one.start <= minute < end:
                return True
    return False


spans = st.builds(
    Span,
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(0, 1440),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Calendar, datetime, str]:
    near = draw(st.sampled_from(DST_DAYS))
    begin = datetime(near.year, near.month, near.day, tzinfo=UTC) - timedelta(
        hours=draw(st.integers(-12, 36))
    )
    first = near + timedelta(days=draw(st.integers(-2, 2)))
    freeze = (Freeze(first, first + timedelta(days=draw(st.integers(0, 2)))),) if draw(st.booleans()) else ()
    windows = tuple(draw(st.lists(spans, max_size=3)))
    begin += timedelta(minutes=draw(st.integers(0, 59)), seconds=draw(st.integers(0, 59)))
    return Calendar(windows, freeze), begin, draw(st.sampled_from(ZONES))


@settings(max_examples=60)
@given(situations())
def test_openings_are_those_that_a_look_at_every_minute_finds(
    situation: tuple[Calendar, datetime, str],
) -> None:
    calendar, begin, zone = situation
    opening = calendar.next_opening(begin, zone)
    assert opening
    moment, end = begin, min(opening + timedelta(hours=3), begin + timedelta(days=3))
    while moment < end:
        is_open = by_hand(calendar, moment, zone)
        assert calendar.open_at(moment, zone) is is_open
        assert not (is_open and moment < opening)
        moment = moment.replace(second=0) + MINUTE
    assert by_hand(calendar, opening, zone)


@given(situations())
def test_a_calendar_survives_its_document(situation: tuple[Calendar, datetime, str]) -> None:
    calendar, _, _ = situation
    assert Calendar.from_document(calendar.document) == calendar


@pytest.mark.parametrize("name", ["Europe/Berln", "", "../etc/passwd", "Europe", "/etc/localtime", "a\0b"])
def test_an_unknown_zone_is_told(name: str) -> None:
    with pytest.raises(EdgeError, match="time zone"):
        zone_of(name)


def test_the_nearest_zone_is_named() -> None:
    with pytest.raises(EdgeError, match="Europe/Berlin"):
        zone_of("Europe/Berln")
