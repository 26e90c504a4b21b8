from __future__ import annotations

from collections.abc import Callable
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from ovms_edge.errors import UsageError
from ovms_edge.node.week import Span
from ovms_edge.rollout.amounts import Amount, Budget, duration_text
from ovms_edge.rollout.calendar import Calendar, Freeze
from ovms_edge.rollout.spec import Spec
from ovms_edge.rollout.spec_file import read_spec

Read = Callable[[str], Spec]
FULL = """\
name: vlm-1.1
release: vlm@1.1.0
stores: stores:!lab
staging: wave
on_breach: rollback
late_after: 2h
retry_every: 90s
open_for: 7d
budget: {failed: 1.5%, late: 3}
concurrency: 20
windows:
  - {days: mon-fri, from: "22:00", to: "06:00"}
  - {from: 22:00, to: 24:00}
freeze: [2026-12-24, {from: 2026-11-26, to: 2026-11-30}]
waves:
  - name: canary
    stores: north
    tags: [canary, pilot]
    count: 3
    at_most: {region: 1}
    repeat: true
    soak: 30m
    approval: true
    min_serving: 90%
    concurrency: 2
    budget: {failed: 0}
    windows: []
  - percent: 5
  - {}
"""
SMALL = "release: vlm@1.1.0\nwaves: [{}]\n"
NIGHT = Span(frozenset(range(5)), 22 * 60, 6 * 60)
EVENING = Span(frozenset(range(7)), 22 * 60, 24 * 60)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_text(text: str) -> Spec:
        path = tmp_path / "rollout.yml"
        path.write_text(text)
        return read_spec(path)

    return read_text


def test_everything_that_may_stand_there_is_read(read: Read) -> None:
    spec = read(FULL)
    freeze = (
        Freeze(date(2026, 12, 24), date(2026, 12, 24)),
        Freeze(date(2026, 11, 26), date(2026, 11, 30)),
    )
    assert (spec.name, spec.release, spec.stores) == ("vlm-1.1", "vlm@1.1.0", "stores:!lab")
    assert (spec.staging, spec.on_breach, spec.concurrency) == ("wave", "rollback", 20)
    assert (spec.late_after_seconds, spec.retry_every_seconds, spec.open_for_seconds) == (7200, 90, 604800)
    assert spec.budget == Budget(Amount(Fraction(3, 2), percent=True), Amount(3))
    assert spec.calendar == Calendar((NIGHT, EVENING), freeze)
    canary, second, last = spec.waves
    assert (canary.name, canary.stores, canary.tags) == ("canary", "north", {"canary", "pilot"})
    assert (canary.size, canary.at_most, canary.repeat) == (Amount(3), {"region": 1}, True)
    assert (canary.soak_seconds, canary.approval, canary.concurrency) == (1800, True, 2)
    assert canary.min_serving == Amount(90, percent=True)
    assert canary.budget == Budget(Amount(0), Amount(3)), "what it does not say is the rollout's"
    assert canary.calendar == Calendar((), freeze), "no windows of its own: always, but on freeze days"
    assert (second.name, second.size) == ("wave-2", Amount(5, percent=True))
    assert (last.name, last.size, last.concurrency) == ("wave-3", None, 20)
    assert last.calendar == spec.calendar


def test_a_release_and_a_wave_are_enough(read: Read) -> None:
    spec = read(SMALL)
    assert spec == Spec("vlm@1.1.0", "vlm-1.1.0", spec.waves)
    assert (spec.stores, spec.staging, spec.on_breach, spec.concurrency) == ("stores", "ahead", "pause", 50)
    assert (spec.late_after_seconds, spec.retry_every_seconds, spec.open_for_seconds) == (14400, 900, 1209600)
    assert spec.budget == Budget(Amount(2, percent=True), Amount(10, percent=True))


@pytest.mark.parametrize(
    ("change", "line", "found", "remedy"),
    [
        (("soak: 30m", "soak: 30x"), 22, "waves[0].soak is '30x'", "30m"),
        (("soak: 30m", "soack: 30m"), 22, "waves[0] has the key 'soack'", "did you mean soak?"),
        (("staging: wave", "staging: later"), 4, "staging is 'later'", "ahead or wave"),
        (("on_breach: rollback", "on_breach: stop"), 5, "on_breach is 'stop'", "pause or rollback"),
        (("on_breach: rollback", "on_beach: pause"), 5, "the file has the key 'on_beach'", "on_breach?"),
        (("release: vlm@1.1.0", "release: vlm"), 2, "release is 'vlm'", "name@version"),
        (("release: vlm@1.1.0", "#"), 1, "the file has no release", "add release"),
        (("name: vlm-1.1", "name: ../x"), 1, "name is '../x'", "letters"),
        (("late_after: 2h", "late_after: 0"), 6, "late_after is '0'", "above 0"),
        (("concurrency: 20", "concurrency: 0"), 10, "concurrency is '0'", "from 1 on"),
        (("concurrency: 20", "concurrency: many"), 10, "concurrency is 'many'", "from 1 on"),
        (("concurrency: 20", "concurrency:"), 10, "concurrency is empty", "leave the key out"),
        (("late: 3}", "late: 3.5}"), 9, "budget.late is '3.5'", "number of stores"),
        (("failed: 1.5%", "failed: 101%"), 9, "budget.failed is '101%'", "percent"),
        (("failed: 1.5%", "failed: -1"), 9, "budget.failed is '-1'", "percent"),
        (("mon-fri", "mon-fry"), 12, "windows[0].days are 'mon-fry'", "mon-fri"),
        (('"06:00"', "6 am"), 12, "windows[0].to is '6 am'", "HH:MM"),
        (("from: 22:00, ", ""), 13, "windows[1] has no from", "add from"),
        (("2026-12-24", "24.12.2026"), 14, "freeze[0] is '24.12.2026'", "2026-12-24"),
        (("to: 2026-11-30", "to: 2026-11-01"), 14, "freeze[1] ends on 2026-11-01", "earlier day"),
        (("tags: [canary, pilot]", "tags: canary"), 18, "waves[0].tags is 'canary'", "list"),
        (("count: 3", "count: 3\n    percent: 5"), 16, "waves[0] has count and percent", "keep one"),
        (("at_most: {region: 1}", "at_most: {site: 1}"), 20, "has the key 'site'", "region, hardware"),
        (("repeat: true", "repeat: often"), 21, "waves[0].repeat is 'often'", "true or false"),
        (("  - percent: 5", "  - percent: 0"), 28, "waves[1].percent is '0'", "above 0"),
        (("  - percent: 5", "  - name: canary"), 28, "waves[1] is named 'canary'", "of its own"),
        (("stores: north", "stores: north\n    stores: south"), 18, "'stores' twice", "keep one"),
    ],
)
def test_what_may_not_stand_there_is_told_by_its_line(
    read: Read, change: tuple[str, str], line: int, found: str, remedy: str
) -> None:
    assert change[0] in FULL
    with pytest.raises(UsageError) as caught:
        read(FULL.replace(*change))
    place, _, said = caught.value.reason.partition(": ")
    assert found in said
    assert remedy in caught.value.remedy
    assert Path(place.rpartition(":")[0]).name == "rollout.yml"
    assert int(place.rpartition(":")[2]) == line


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "is empty"),
        ("- release", "is a list"),
        ("release: [", "not YAML"),
        ("release: vlm@1\nwaves: []\n", "waves is empty"),
        ("release: vlm@1\nwaves: {}\n", "waves is a mapping"),
        ("release: vlm@1\nwaves: [canary]\n", "waves[0] is 'canary'"),
        ("release: vlm@1\n? [a]\n: b\n", "has the key 'a list'"),
        ("release: !!python/object/apply:os.system [x]\nwaves: [{}]", "release is a list"),
    ],
)
def test_what_is_no_rollout_is_refused(read: Read, text: str, found: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(text)
    assert found in caught.value.reason


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yml cannot be read: No such file"):
        read_spec(tmp_path / "none.yml")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (45, "45 s"), (1800, "30 m"), (5400, "1 h 30 m"), (86400, "1 d"), (194500, "2 d 6 h")],
)
def test_durations_are_shown_in_two_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
