"""Where the lines of a rollout's chart are, in its own units; the template chart.svg draws them. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ovms_edge.rollout.states import StoreState
from ovms_edge.rollout.timeline import Sample, Timeline, timeline

WIDTH = 960
_LEFT, _RIGHT = 130, 175  # names of waves and numbers; names of lines
_SAMPLES = 300
_TOP = 8.0
_STORES_HEIGHT, _TROUBLES_HEIGHT = 170.0, 90.0
_GAP = 22.0
_WAVE_HEIGHT = 18.0
_AXIS_HEIGHT = 38.0
_LABEL_HEIGHT = 13.0
_LINES = 4
_TICKS = 7
# Seconds between marks of the time axis.
_STEPS = (
    60,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10800,
    21600,
    43200,
    86400,
    172800,
    259200,
    604800,
    1209600,
    2592000,
)
_DAY = 86400
_FORMS = {"date": "%m-%d", "time": "%H:%M", "both": "%m-%d %H:%M"}
_TROUBLES = (StoreState.FAILED, StoreState.LATE, StoreState.UNREACHABLE, StoreState.ROLLED_BACK)
_HOLDING = (StoreState.STAGED, StoreState.ACTIVATING, StoreState.SERVING)


@dataclass(frozen=True, slots=True)
class Series:
    """A line, with its name where it ends."""

    key: str
    label: str
    path: str
    area: str
    label_y: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across the chart at ``at``, or the place of a label."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class TimeMark:
    """A mark of the time axis, ``seconds`` since the epoch; ``form``: its ``date``, ``time`` or ``both``."""

    at: float
    seconds: int
    form: str
    text: str


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines on one scale. ``limit``: where the budget of failures ends, None where that is above."""

    top: float
    bottom: float
    title: str
    lines: tuple[Series, ...]
    marks: tuple[Mark, ...]
    limit: Mark | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """A wave while it was in one state."""

    state: str
    x: float
    width: float
    text: str


@dataclass(frozen=True, slots=True)
class WaveBars:
    """One wave over time."""

    name: str
    y: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """All of it. ``axis``: where the time axis is."""

    width: int
    height: float
    left: float
    right: float
    panels: tuple[Panel, ...]
    waves: tuple[WaveBars, ...]
    times: tuple[TimeMark, ...]
    axis: float
    description: str


def chart(document: Mapping[str, Any]) -> Chart:
    """Return the chart of a status document."""
    shown = timeline(document, _SAMPLES)
    total = sum(wave["stores"] for wave in document["waves"])
    panels = [_stores_panel(shown, total)]
    troubles = _troubles_panel(shown, document["budget"]["failed"]["limit"], panels[0].bottom + _GAP)
    panels += [troubles] if troubles else []
    bars = _wave_bars(shown, panels[-1].bottom + _GAP)
    axis = panels[-1].bottom + _GAP + len(bars) * _WAVE_HEIGHT + 4
    return Chart(
        width=WIDTH,
        height=axis + _AXIS_HEIGHT,
        left=_LEFT,
        right=WIDTH - _RIGHT,
        panels=tuple(panels),
        waves=bars,
        times=_times(shown),
        axis=axis,
        description=_description(shown, total),
    )


def _x(shown: Timeline, at: float) -> float:
    return round(_LEFT + (at - shown.begin) / (shown.end - shown.begin) * (WIDTH - _LEFT - _RIGHT), 1)


def _stores_panel(shown: Timeline, total: int) -> Panel:
    lines = (
        (
            "staged",
            "staged or serving",
            lambda sample: sum(sample.counts.get(state, 0) for state in _HOLDING),
        ),
        ("serving", "serving", lambda sample: sample.counts.get(StoreState.SERVING, 0)),
    )
    return _panel(shown, _TOP, _STORES_HEIGHT, f"of {total:,} stores", max(total, 1), lines)


def _troubles_panel(shown: Timeline, limit: int, top: float) -> Panel | None:
    most = {state: max(sample.counts.get(state, 0) for sample in shown.samples) for state in _TROUBLES}
    lines = [
        (state.value, state.value.replace("_", " "), _counter(state))
        for state, number in most.items()
        if number
    ]
    if not lines:
        return None
    highest = max(most.values())
    if limit <= highest * 2:  # far above it would press all lines to the floor
        highest = max(highest, limit)
    return _panel(shown, top, _TROUBLES_HEIGHT, "in trouble", highest, lines, limit)


def _counter(state: StoreState) -> Callable[[Sample], int]:
    return lambda sample: sample.counts.get(state, 0)


def _panel(
    shown: Timeline,
    top: float,
    height: float,
    title: str,
    highest: int,
    lines: Sequence[tuple[str, str, Callable[[Sample], int]]],
    limit: int | None = None,
) -> Panel:
    bottom = top + height

    def y(value: float) -> float:
        return round(bottom - value / highest * height, 1)

    drawn = []
    for key, label, count in lines:
        values = [count(sample) for sample in shown.samples]
        path = _path(
            [(_x(shown, sample.at), y(value)) for sample, value in zip(shown.samples, values, strict=True)]
        )
        area = f"{path}V{bottom:g}H{_LEFT}Z"
        drawn.append(Series(key, f"{values[-1]:,} {label}", path, area, y(values[-1])))
    return Panel(
        top,
        bottom,
        title,
        _apart(drawn, top, bottom),
        tuple(Mark(y(value), f"{value:,}") for value in _scale(highest)),
        Mark(y(limit), f"budget {limit:,}") if limit is not None and limit <= highest else None,
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Return steps: a store is in a state until it is in another. Points on a level are left out."""
    (x, y), *rest = points
    steps = [f"M{x:g} {y:g}"]
    for next_x, next_y in rest:
        if next_y != y:
            steps.append(f"H{next_x:g}V{next_y:g}")
            y = next_y
    return "".join([*steps, f"H{rest[-1][0]:g}" if rest else ""])


def _apart(lines: Sequence[Series], top: float, bottom: float) -> tuple[Series, ...]:
    """Move labels until none lies on another; of two in one place the later line's is the lower one."""
    places: dict[str, float] = {}
    lowest = bottom
    for _, one in sorted(enumerate(lines), key=lambda entry: (-entry[1].label_y, -entry[0])):
        lowest = places[one.key] = min(one.label_y, lowest)
        lowest -= _LABEL_HEIGHT
    highest = top
    for key in reversed(places):  # from the top down: what was moved out of the panel comes back
        highest = places[key] = max(places[key], highest)
        highest += _LABEL_HEIGHT
    return tuple(replace(one, label_y=places[one.key]) for one in lines)


def _scale(highest: int) -> list[int]:
    """Return round numbers from 0 to the highest."""
    step = next(
        size * 10**power for power in range(12) for size in (1, 2, 5) if highest <= size * 10**power * _LINES
    )
    return list(range(0, highest + 1, step))


def _wave_bars(shown: Timeline, top: float) -> tuple[WaveBars, ...]:
    rows = []
    for number, (name, phases) in enumerate(shown.waves.items()):
        bars = []
        for phase in phases:
            x = _x(shown, phase.begin)
            width = max(1.0, round(_x(shown, phase.end) - x, 1))
            text = f"{name} {phase.state}: {_utc(phase.begin)} to {_utc(phase.end)} UTC"
            bars.append(Bar(phase.state, x, width, text))
        rows.append(WaveBars(name, top + number * _WAVE_HEIGHT, tuple(bars)))
    return tuple(rows)


def _times(shown: Timeline) -> tuple[TimeMark, ...]:
    length = shown.end - shown.begin
    step = next((step for step in _STEPS if length <= step * _TICKS), _STEPS[-1])
    first = int(-(-shown.begin // step) * step)
    marks = range(first, int(shown.end) + 1, step)
    forms = [
        "date" if step >= _DAY else "both" if at in (first, at // _DAY * _DAY) else "time" for at in marks
    ]
    return tuple(
        TimeMark(_x(shown, at), at, form, datetime.fromtimestamp(at, UTC).strftime(_FORMS[form]))
        for at, form in zip(marks, forms, strict=True)
    )


def _description(shown: Timeline, total: int) -> str:
    counts = shown.samples[-1].counts
    said = [f"{number:,} {state.replace('_', ' ')}" for state, number in counts.items()]
    return (
        f"{_utc(shown.begin)} to {_utc(shown.end)} UTC. At the end, of {total:,} stores: {', '.join(said)}."
    )


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
