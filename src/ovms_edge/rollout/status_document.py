"""What a rollout is, as one document, from the journal alone: any process may ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ovms_edge.rollout.board import Board
from ovms_edge.rollout.budget import Use, failed_in, failed_in_all, late_in, late_in_all
from ovms_edge.rollout.calendar import Calendar
from ovms_edge.rollout.course import Course
from ovms_edge.rollout.journal import Event, Journal
from ovms_edge.rollout.plan import Plan
from ovms_edge.rollout.progress import Progress
from ovms_edge.rollout.states import StoreState, WaveState
from ovms_edge.rollout.words import many

SCHEMA = "ovms-edge.rollout-status/1"
_MOVED = frozenset({StoreState.SERVING, StoreState.FAILED, StoreState.ROLLED_BACK})


def status_document(
    journal: Journal, rollout: str | None, controller: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any]:
    """Return the document of a rollout, without a name of the newest; raises EdgeError if there is none.

    ``controller`` is who runs an engine on the journal now.
    """
    listed = journal.find(rollout)
    plan, _ = journal.plan(listed.id)
    course, rows = journal.course(listed.id), list(journal.stores(listed.id))
    board = Board(plan, (store for store, _ in rows))
    return {
        "schema": SCHEMA,
        "id": listed.id,
        "name": plan.name,
        "release": plan.release,
        "state": listed.state.value,
        "reason": listed.reason,
        "started": listed.started,
        "updated": listed.updated,
        "ended": listed.ended,
        "elapsed_seconds": round(course.clock, 1),
        "controller": controller if controller and controller["rollout"] == listed.id else None,
        "budget": _budget(failed_in_all(board, course), late_in_all(board)),
        "counts": _counts(board.total(state) for state in StoreState),
        "rates": _rates(board, course),
        "waves": _waves(board, course, journal.wave_times(listed.id), now),
        "stores": [
            *(_store(plan, store, since) for store, since in rows),
            *_unsuitable(plan, listed.started),
        ],
        "history": [_event(plan, event) for event in journal.history(listed.id)],
    }


def _waves(
    board: Board, course: Course, times: list[tuple[str | None, str | None]], now: datetime
) -> list[dict[str, Any]]:
    return [
        {
            "name": planned.name,
            "state": wave.state.value,
            "stores": len(planned.stores),
            "counts": _counts(board.counts[number][state] for state in StoreState),
            "started": started,
            "ended": ended,
            "soak_seconds": planned.soak_seconds,
            "soaked_seconds": _soaked(course, number),
            "approval": planned.approval,
            "approved": {"by": wave.approved} if wave.approved else None,
            "budget": _budget(failed_in(number, board, course), late_in(number, board)),
            "waits_for": _waits_for(number, board, course, now),
        }
        for number, (planned, wave, (started, ended)) in enumerate(
            zip(board.plan.waves, course.waves, times, strict=True)
        )
    ]


def _soaked(course: Course, number: int) -> float:
    wave = course.waves[number]
    if wave.soak_began is None:
        return 0.0
    return round((course.clock if wave.ended is None else wave.ended) - wave.soak_began, 1)


def _waits_for(number: int, board: Board, course: Course, now: datetime) -> str | None:
    wave, planned = course.waves[number], board.plan.waves[number]
    if wave.state is WaveState.HELD:
        return "approval"
    if wave.state is not WaveState.RUNNING:
        return None
    missing = planned.min_serving - board.counts[number][StoreState.SERVING]
    if not board.open_in(number) and missing > 0:
        return f"{many(missing, 'store')} more to serve"
    zones = {board.zone_of(store)[1] for store in board.of_wave(number) if store.state is StoreState.STAGED}
    closed = [zone for zone in sorted(zones) if not planned.calendar.open_at(now, zone)]
    opening = _first_opening(planned.calendar, closed, now)
    return f"window until {opening:%Y-%m-%dT%H:%MZ}" if opening and len(closed) == len(zones) else None


def _first_opening(calendar: Calendar, zones: list[str], now: datetime) -> datetime | None:
    openings = [opening for zone in zones if (opening := calendar.next_opening(now, zone))]
    return min(openings).astimezone(UTC) if openings else None


def _rates(board: Board, course: Course) -> dict[str, float | None]:
    """Return the pace since the first wave began, and how long the rest takes at that pace.

    It knows nothing of soaks, windows and approvals that are still to come.
    """
    began = course.waves[0].began
    moved = sum(board.total(state) for state in _MOVED)
    if began is None or not moved or course.clock <= began:
        return {"stores_per_hour": None, "seconds_left": None}
    pace = moved / (course.clock - began)
    left = sum(board.open_in(number) for number in range(len(course.waves)))
    return {"stores_per_hour": round(pace * 3600, 1), "seconds_left": round(left / pace, 1)}


def _store(plan: Plan, store: Progress, since: str) -> dict[str, Any]:
    described = plan.stores[store.store]
    return {
        "store": store.store,
        "wave": plan.waves[store.wave].name,
        "state": store.state.value,
        "since": since,
        "attempts": store.attempts,
        "reason": store.reason,
        "remedy": store.remedy,
        "before": store.before,
        "serving": store.serving,
        "expected": _expected(plan, store),
        "region": described.region,
        "hardware": described.hardware,
        "timezone": described.timezone,
        "fetch_bytes": store.fetch_bytes
        if store.fetch_bytes is not None
        else plan.fetch_bytes.get(store.store),
        "stage_seconds": store.stage_seconds,
        "activate_seconds": store.activate_seconds,
    }


def _expected(plan: Plan, store: Progress) -> str | None:
    """Return what the store has to serve by the rollout, None where that is not decided yet."""
    if store.state is StoreState.SERVING:
        return plan.release
    return store.before if store.state in (StoreState.FAILED, StoreState.ROLLED_BACK) else None


def _unsuitable(plan: Plan, since: str) -> Iterator[dict[str, Any]]:
    for name, reason in sorted(plan.unsuitable.items()):
        described = plan.stores.get(name)
        yield {
            "store": name,
            "wave": None,
            "state": StoreState.UNSUITABLE.value,
            "since": since,
            "attempts": 0,
            "reason": reason,
            "remedy": None,
            "before": plan.before.get(name),
            "serving": plan.before.get(name),
            "expected": None,
            "region": described.region if described else "",
            "hardware": described.hardware if described else "",
            "timezone": described.timezone if described else "",
            "fetch_bytes": None,
            "stage_seconds": None,
            "activate_seconds": None,
        }


def _event(plan: Plan, event: Event) -> dict[str, Any]:
    wave = None if event.wave is None else plan.waves[event.wave].name
    return {
        "at": event.at,
        "store": event.store,
        "wave": wave,
        "from": event.old,
        "to": event.new,
        "reason": event.reason,
    }


def _counts(numbers: Iterator[int]) -> dict[str, int]:
    return {state.value: number for state, number in zip(StoreState, numbers, strict=True) if number}


def _budget(failed: Use, late: Use) -> dict[str, dict[str, int]]:
    return {
        "failed": {"used": failed.used, "limit": failed.limit},
        "late": {"used": late.used, "limit": late.limit},
    }
