"""How many failed and late stores there may be, and whether there are more. No I/O.

Stores that are offline count nowhere: they say nothing about the release.
"""

from __future__ import annotations

from dataclasses import dataclass

from ovms_edge.rollout.board import Board
from ovms_edge.rollout.course import Course
from ovms_edge.rollout.states import StoreState
from ovms_edge.rollout.words import many


@dataclass(frozen=True, slots=True)
class Use:
    """``used`` of ``limit`` stores; more than the limit is a breach."""

    used: int
    limit: int

    @property
    def breached(self) -> bool:
        """Whether there are more than there may be."""
        return self.used > self.limit


def failed_in_all(board: Board, course: Course) -> Use:
    """Return the failures of the whole rollout, those that were forgiven left out."""
    return Use(max(0, board.total(StoreState.FAILED) - course.forgiven), board.plan.failed_limit)


def failed_in(number: int, board: Board, course: Course) -> Use:
    """Return the failures of one wave."""
    failed = board.counts[number][StoreState.FAILED] - course.waves[number].forgiven
    return Use(max(0, failed), board.plan.waves[number].failed_limit)


def late_in_all(board: Board) -> Use:
    """Return the stores that are late now."""
    return Use(board.total(StoreState.LATE), board.plan.late_limit)


def late_in(number: int, board: Board) -> Use:
    """Return the stores of one wave that are late now."""
    return Use(board.counts[number][StoreState.LATE], board.plan.waves[number].late_limit)


def breach(board: Board, course: Course) -> str | None:
    """Return which budget is exceeded, as a sentence; None if none is."""
    for what, use in (("failed", failed_in_all(board, course)), ("late", late_in_all(board))):
        if use.breached:
            return f"{many(use.used, 'store')} {what}, the budget of the rollout is {use.limit}"
    for number, wave in enumerate(board.plan.waves):
        for what, use in (("failed", failed_in(number, board, course)), ("late", late_in(number, board))):
            if use.breached:
                return f"{many(use.used, 'store')} of wave {wave.name} {what}, its budget is {use.limit}"
    return None


def forgive(board: Board, course: Course) -> None:
    """Let the failures so far count no more."""
    course.forgiven = board.total(StoreState.FAILED)
    for number, wave in enumerate(course.waves):
        wave.forgiven = board.counts[number][StoreState.FAILED]
