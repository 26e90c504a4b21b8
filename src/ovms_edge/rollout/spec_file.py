"""Reads ``rollout.yml``, and refuses what it may not say by its line."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TypeVar

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.week import Span, parse_days, parse_minute
from ovms_edge.rollout.amounts import Amount, Budget, parse_amount, parse_duration, parse_percent
from ovms_edge.rollout.calendar import Calendar, Freeze
from ovms_edge.rollout.entry import Entry, read_yaml
from ovms_edge.rollout.spec import GROUPINGS, Spec, WaveSpec

_Value = TypeVar("_Value")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KEYS = (
    *("name", "release", "stores", "staging", "on_breach", "late_after", "retry_every", "open_for", "budget"),
    *("concurrency", "windows", "freeze", "waves"),
)
_WAVE_KEYS = (
    *("name", "stores", "tags", "count", "percent", "at_most", "repeat", "soak", "approval", "min_serving"),
    *("concurrency", "budget", "windows"),
)


def read_spec(path: Path) -> Spec:
    """Return what a ``rollout.yml`` says; raises UsageError for all that it may not say."""
    whole = read_yaml(path)
    entries = _Entries(whole, _KEYS)
    release = entries.needed("release", _release)
    budget = entries.get("budget", lambda entry: _budget(entry, Spec.budget), Spec.budget)
    concurrency = entries.get("concurrency", Entry.count, Spec.concurrency)
    calendar = Calendar(entries.get("windows", _windows, ()), entries.get("freeze", _freezes, ()))
    common = WaveSpec("", calendar, budget, concurrency)
    return Spec(
        release=release,
        name=entries.get("name", _name, release.replace("@", "-")),
        waves=entries.needed("waves", lambda entry: _waves(entry, common)),
        stores=entries.get("stores", Entry.text, Spec.stores),
        staging=entries.get("staging", lambda entry: entry.choice("ahead", "wave"), Spec.staging),
        on_breach=entries.get("on_breach", lambda entry: entry.choice("pause", "rollback"), Spec.on_breach),
        late_after_seconds=entries.get("late_after", _some_time, Spec.late_after_seconds),
        retry_every_seconds=entries.get("retry_every", _some_time, Spec.retry_every_seconds),
        open_for_seconds=entries.get("open_for", _duration, Spec.open_for_seconds),
        budget=budget,
        concurrency=concurrency,
        calendar=calendar,
    )


class _Entries:
    """The entries of a mapping, each read by a function."""

    def __init__(self, whole: Entry, known: tuple[str, ...]) -> None:
        self._whole, self._entries = whole, whole.mapping(known)

    def get(self, key: str, read: Callable[[Entry], _Value], default: _Value) -> _Value:
        entry = self._entries.get(key)
        return default if entry is None else read(entry)

    def needed(self, key: str, read: Callable[[Entry], _Value]) -> _Value:
        if key not in self._entries:
            raise self._whole.error(f"has no {key}", f"add {key}, see docs/rollouts.md")
        return read(self._entries[key])

    def not_both(self, one: str, other: str) -> None:
        if one in self._entries and other in self._entries:
            raise self._whole.error(f"has {one} and {other}", "keep one of them")


def _waves(entry: Entry, common: WaveSpec) -> tuple[WaveSpec, ...]:
    waves: list[WaveSpec] = []
    for number, item in enumerate(entry.items(), 1):
        wave = _wave(item, number, common)
        if any(wave.name == other.name for other in waves):
            raise item.error(f"is named {wave.name!r} as another is", "give each wave a name of its own")
        waves.append(wave)
    if not waves:
        raise entry.error("is empty", "add a wave; `- name: all` takes all stores")
    return tuple(waves)


def _wave(entry: Entry, number: int, common: WaveSpec) -> WaveSpec:
    entries = _Entries(entry, _WAVE_KEYS)
    entries.not_both("count", "percent")
    size = entries.get("count", lambda count: Amount(count.count()), None)
    windows = entries.get("windows", _windows, common.calendar.windows)
    return WaveSpec(
        name=entries.get("name", _name, f"wave-{number}"),
        calendar=Calendar(windows, common.calendar.freeze),
        budget=entries.get("budget", lambda budget: _budget(budget, common.budget), common.budget),
        concurrency=entries.get("concurrency", Entry.count, common.concurrency),
        stores=entries.get("stores", Entry.text, None),
        tags=entries.get("tags", lambda tags: frozenset(tag.text() for tag in tags.items()), frozenset()),
        size=entries.get("percent", lambda percent: percent.read(parse_percent), size),
        at_most=entries.get("at_most", _at_most, {}),
        repeat=entries.get("repeat", Entry.flag, False),
        soak_seconds=entries.get("soak", _duration, 0.0),
        approval=entries.get("approval", Entry.flag, False),
        min_serving=entries.get("min_serving", lambda amount: amount.read(parse_amount), Amount(0)),
        place=entry.place,
    )


def _release(entry: Entry) -> str:
    try:
        return str(ReleaseRef.parse(entry.text()))
    except EdgeError as error:
        raise entry.error(f"is {entry.shown}", error.remedy) from error


def _name(entry: Entry) -> str:
    if not _NAME.fullmatch(entry.text()):
        raise entry.error(f"is {entry.shown}", "write letters, digits, '.', '_' and '-', the first no sign")
    return entry.text()


def _duration(entry: Entry) -> float:
    return entry.read(parse_duration)


def _some_time(entry: Entry) -> float:
    seconds = _duration(entry)
    if not seconds:
        raise entry.error(f"is {entry.shown}", "write a duration above 0, such as 15m")
    return seconds


def _budget(entry: Entry, default: Budget) -> Budget:
    entries = _Entries(entry, ("failed", "late"))
    failed, late = (
        entries.get(key, lambda amount: amount.read(parse_amount), amount)
        for key, amount in (("failed", default.failed), ("late", default.late))
    )
    return Budget(failed, late)


def _at_most(entry: Entry) -> dict[str, int]:
    return {grouping: limit.count() for grouping, limit in sorted(entry.mapping(GROUPINGS).items())}


def _windows(entry: Entry) -> tuple[Span, ...]:
    return tuple(map(_window, entry.items()))


def _window(entry: Entry) -> Span:
    entries = _Entries(entry, ("days", "from", "to"))
    return Span(
        entries.get("days", lambda days: days.read(parse_days), parse_days("mon-sun", "days")),
        entries.needed("from", lambda minute: minute.read(parse_minute)),
        entries.needed("to", lambda minute: minute.read(parse_minute)),
    )


def _freezes(entry: Entry) -> tuple[Freeze, ...]:
    return tuple(map(_freeze, entry.items()))


def _freeze(entry: Entry) -> Freeze:
    if not entry.is_mapping:
        day = _date(entry)
        return Freeze(day, day)
    entries = _Entries(entry, ("from", "to"))
    days = Freeze(entries.needed("from", _date), entries.needed("to", _date))
    if days.last < days.first:
        raise entry.error(f"ends on {days.last}, before it begins", "write the earlier day as from")
    return days


def _date(entry: Entry) -> date:
    try:
        return date.fromisoformat(entry.text())
    except ValueError as error:
        raise entry.error(f"is {entry.shown}", "write a day as 2026-12-24") from error
