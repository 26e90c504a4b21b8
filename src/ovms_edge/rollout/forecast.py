"""How long a plan takes at least, by what is known beforehand. Pure, but for the moment that it begins at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ovms_edge.errors import EdgeError
from ovms_edge.rollout.plan import Plan, PlannedWave
from ovms_edge.rollout.survey import Survey, Surveyed


@dataclass(frozen=True, slots=True)
class WaveForecast:
    """The earliest moments: ``begins`` may activate its first store, ``ends`` is the end of the soak.

    ``rounds``: how many activations follow one another at least; what one takes is not known. ``fetching``
    and ``closed``: seconds that the wave waits for the link, and for windows.
    """

    begins: datetime
    ends: datetime
    rounds: int
    fetching: float
    closed: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """``untimed``: stores whose time to fetch is not known."""

    began: datetime
    waves: tuple[WaveForecast, ...]
    untimed: int

    @property
    def seconds(self) -> float:
        """Seconds from the beginning to the end of the last soak, at least."""
        return (self.waves[-1].ends - self.began).total_seconds()


def forecast(plan: Plan, survey: Survey | None, began: datetime) -> Forecast:
    """Return how long it takes if it begins at ``began``, activations and approvals not counted."""
    known = {name: _seconds(said) for name, said in survey.stores.items()} if survey else {}
    waves: list[WaveForecast] = []
    now = began
    for wave in plan.waves:
        waves.append(_wave(plan, wave, known, began if plan.staging == "ahead" else now, now))
        now = waves[-1].ends
    untimed = sum(known.get(name) is None for wave in plan.waves for name in wave.stores)
    return Forecast(began, tuple(waves), untimed)


def _seconds(said: Surveyed) -> float | None:
    return 0.0 if said.fetch_bytes == 0 else said.seconds


def _wave(
    plan: Plan, wave: PlannedWave, known: Mapping[str, float | None], staging: datetime, now: datetime
) -> WaveForecast:
    slowest: dict[str, float] = {}
    for name in wave.stores:
        zone = plan.stores[name].timezone
        slowest[zone] = max(slowest.get(zone, 0.0), known.get(name) or 0.0)
    staged = {zone: max(now, staging + timedelta(seconds=seconds)) for zone, seconds in slowest.items()}
    opens = {zone: _opening(wave, staged[zone], zone) for zone in slowest}
    all_open, all_staged = max(opens.values()), max(staged.values())
    return WaveForecast(
        begins=min(_opening(wave, now, zone) for zone in slowest),
        ends=all_open + timedelta(seconds=wave.soak_seconds),
        rounds=-(-len(wave.stores) // wave.concurrency),
        fetching=(all_staged - now).total_seconds(),
        closed=(all_open - all_staged).total_seconds(),
    )


def _opening(wave: PlannedWave, moment: datetime, zone: str) -> datetime:
    opening = wave.calendar.next_opening(moment, zone)
    if opening is None:
        raise EdgeError(
            f"wave {wave.name} never opens for stores in {zone}", "correct its windows and freeze days"
        )
    return opening
