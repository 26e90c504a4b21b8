"""A fleet with troubles in given parts of it, the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ovms_edge.rollout.plan import Plan
from ovms_edge.rollout.simulation.fleet import SimFleet, SimStore, Temper

_HOUR = 3600.0
_OLD = "before@0"


@dataclass(frozen=True, slots=True)
class Troubles:
    """Parts of the fleet, 0 to 1. ``slow``: stages ten times as long; ``flaky``: offline again and again."""

    offline: float = 0.05
    flaky: float = 0.05
    refuses: float = 0.0
    turns_bad: float = 0.0
    no_space: float = 0.0
    wrong_clock: float = 0.0
    stuck: float = 0.0
    slow: float = 0.05
    seed: int = 1


def troubled_fleet(plan: Plan, troubles: Troubles) -> SimFleet:
    """Return the stores of ``plan``, each with its own luck."""
    names = [name for wave in plan.waves for name in wave.stores]
    return SimFleet(_store(name, plan, troubles) for name in names)


def _store(name: str, plan: Plan, troubles: Troubles) -> SimStore:
    luck = random.Random(f"{troubles.seed} {name}")  # noqa: S311  no secret hangs on it
    stage_seconds = luck.uniform(300, 1800) * (10 if luck.random() < troubles.slow else 1)
    return SimStore(
        name,
        plan.before.get(name, _OLD),
        _temper(luck.random(), troubles),
        stage_seconds=stage_seconds,
        activate_seconds=luck.uniform(60, 240),
        offline=_offline(luck, troubles),
    )


def _temper(drawn: float, troubles: Troubles) -> Temper:
    parts = (
        (Temper.REFUSES, troubles.refuses),
        (Temper.TURNS_BAD, troubles.turns_bad),
        (Temper.NO_SPACE, troubles.no_space),
        (Temper.WRONG_CLOCK, troubles.wrong_clock),
        (Temper.STUCK, troubles.stuck),
    )
    for temper, part in parts:
        if drawn < part:
            return temper
        drawn -= part
    return Temper.GOOD


def _offline(luck: random.Random, troubles: Troubles) -> tuple[tuple[float, float], ...]:
    if luck.random() < troubles.offline:
        return ((0.0, luck.uniform(1, 240) * _HOUR),)
    if luck.random() < troubles.flaky:
        begins = sorted(luck.uniform(0, 72) * _HOUR for _ in range(6))
        return tuple((begin, begin + luck.uniform(0.05, 1) * _HOUR) for begin in begins)
    return ()
