"""A rollout over time, from its history: stores by state, and what each wave was when. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ovms_edge.rollout.states import StoreState, WaveState

_SHORTEST = 60.0


@dataclass(frozen=True, slots=True)
class Sample:
    """How many stores were in each state at a moment, in seconds since the epoch."""

    at: float
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Phase:
    """What a wave was from a moment to another, in seconds since the epoch."""

    state: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """``samples`` are evenly spaced from ``begin`` to ``end``. ``waves`` are in the document's order."""

    begin: float
    end: float
    samples: tuple[Sample, ...]
    waves: Mapping[str, tuple[Phase, ...]]


def epoch(text: str) -> float:
    """Return an RFC 3339 time in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def timeline(document: Mapping[str, Any], number: int) -> Timeline:
    """Return the rollout over time in ``number`` samples.

    The history is in order; where a controller's clock went back its times stand still meanwhile.
    """
    begin = now = epoch(document["started"])
    moments = [now := max(now, epoch(event["at"])) for event in document["history"]]
    end = max(now, epoch(document["ended"] or document["updated"]), begin + _SHORTEST)
    return Timeline(
        begin, end, _samples(document, moments, begin, end, number), _waves(document, moments, end)
    )


def _samples(
    document: Mapping[str, Any], moments: list[float], begin: float, end: float, number: int
) -> tuple[Sample, ...]:
    counts = Counter({StoreState.PENDING.value: sum(wave["stores"] for wave in document["waves"])})
    events = [
        (moment, event["from"], event["to"])
        for moment, event in zip(moments, document["history"], strict=True)
        if event["store"]
    ]
    samples, done = [], 0
    for index in range(number):
        at = begin + (end - begin) * index / (number - 1)
        while done < len(events) and (events[done][0] <= at or index == number - 1):
            _, old, new = events[done]
            counts[old] -= 1
            counts[new] += 1
            done += 1
        samples.append(Sample(at, +counts))
    return tuple(samples)


def _waves(document: Mapping[str, Any], moments: list[float], end: float) -> dict[str, tuple[Phase, ...]]:
    changes: dict[str, list[tuple[float, str]]] = {wave["name"]: [] for wave in document["waves"]}
    for moment, event in zip(moments, document["history"], strict=True):
        if event["store"] is None and event["wave"] in changes:
            changes[event["wave"]].append((moment, event["to"]))
    return {name: _phases(steps, end) for name, steps in changes.items()}


def _phases(steps: list[tuple[float, str]], end: float) -> tuple[Phase, ...]:
    after = [*steps[1:], (end, "")]
    return tuple(
        Phase(state, begin, finish)
        for (begin, state), (finish, _) in zip(steps, after, strict=False)
        if state not in (WaveState.WAITING, WaveState.DONE)
    )
