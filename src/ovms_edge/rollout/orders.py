"""What is to be told to whom now: the rules of who may move, in one place. No I/O but for the time of day."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime

from ovms_edge.rollout.board import Board
from ovms_edge.rollout.course import BEGUN, Course
from ovms_edge.rollout.progress import Progress
from ovms_edge.rollout.states import RolloutState
from ovms_edge.rollout.transport import Kind, Order


def take_orders(board: Board, course: Course, now: datetime, stage_at_once: int) -> list[Order]:
    """Begin all that may begin now, and return it as orders.

    While paused, stores are asked and sent back, and nothing is brought to any.
    """
    if course.state is RolloutState.ABORTED:
        return []
    for store in board.due(course.clock):
        board.enqueue(store)
    orders = [
        *_begin(board, course, Kind.BACK, _ready(board, board.to_bring_back, Kind.BACK)),
        *_begin(board, course, Kind.VERIFY, _ready(board, board.to_verify, Kind.VERIFY)),
    ]
    if course.state is RolloutState.RUNNING:
        orders += _begin(board, course, Kind.ACTIVATE, _may_activate(board, course, now))
        orders += _begin(board, course, Kind.STAGE, _may_stage(board, course, stage_at_once))
    return orders


def next_opening(board: Board, course: Course, now: datetime) -> datetime | None:
    """Return when the first window opens for which a store waits; None if none waits."""
    openings = [
        opening
        for (wave, zone), queue in board.to_activate.items()
        if queue and course.waves[wave].state in BEGUN
        for calendar in (board.plan.waves[wave].calendar,)
        if not calendar.open_at(now, zone)
        for opening in (calendar.next_opening(now, zone),)
        if opening
    ]
    return min(openings, default=None)


def _ready(board: Board, queue: deque[str], kind: Kind) -> Iterator[Progress]:
    """Yield from the queue those that still have to do that."""
    while queue:
        store = board.stores[queue.popleft()]
        if store.next is kind:
            yield store


def _may_activate(board: Board, course: Course, now: datetime) -> Iterator[Progress]:
    for (number, zone), queue in board.to_activate.items():
        wave = board.plan.waves[number]
        if course.waves[number].state not in BEGUN or not queue or not wave.calendar.open_at(now, zone):
            continue
        for store in _ready(board, queue, Kind.ACTIVATE):
            if board.activating[number] >= wave.concurrency:
                queue.appendleft(store.store)
                break
            yield store


def _may_stage(board: Board, course: Course, at_once: int) -> Iterator[Progress]:
    for number in range(len(board.plan.waves)):
        if board.plan.staging != "ahead" and course.waves[number].state not in BEGUN:
            return
        queue = board.to_stage[number]
        for store in _ready(board, queue, Kind.STAGE):
            if board.busy[Kind.STAGE] >= at_once:
                queue.appendleft(store.store)
                return
            yield store


def _begin(board: Board, course: Course, kind: Kind, stores: Iterator[Progress]) -> list[Order]:
    """Begin one store after the other, so that the limits see each; those that try again are told apart."""
    told: dict[bool, list[str]] = {}
    for store in stores:
        board.begin(store.store, kind, course.clock)
        told.setdefault(store.retry and kind is Kind.ACTIVATE, []).append(store.store)
    return [Order(kind, tuple(names), board.plan.release, retry) for retry, names in sorted(told.items())]
