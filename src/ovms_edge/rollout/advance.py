"""What time alone changes: stores become late, waves begin, soak and end, a budget is exceeded. No I/O."""

from __future__ import annotations

from ovms_edge.rollout.board import Board
from ovms_edge.rollout.budget import breach
from ovms_edge.rollout.course import Course, WaveCourse
from ovms_edge.rollout.plan import PlannedWave
from ovms_edge.rollout.progress import CATCHING_UP
from ovms_edge.rollout.states import RolloutState, StoreState, WaveState
from ovms_edge.rollout.words import many


def advance(board: Board, course: Course) -> None:
    """Bring waves and rollout to where ``course.clock`` and the stores say that they are."""
    for name in board.late(course.clock, course.began):
        hours = board.plan.late_after_seconds / 3600
        board.become(name, StoreState.LATE, course.clock, f"not done {hours:g} h after it was told to begin")
    if course.state is RolloutState.RUNNING:
        _spend(board, course)
    if course.state is RolloutState.RUNNING:
        while (number := course.current) is not None and _step(number, board, course):
            pass
        _end(board, course)
    elif course.state is RolloutState.ROLLING_BACK:
        _end_rollback(board, course)


def roll_back(board: Board, course: Course, reason: str) -> None:
    """Send every store back that may serve what this rollout brought."""
    course.state, course.reason, course.back_began = RolloutState.ROLLING_BACK, reason, course.clock
    send_back(board, course, list(board.stores))


def send_back(board: Board, course: Course, names: list[str]) -> None:
    """Send those of ``names`` back that may serve what this rollout brought."""
    for name in names:
        if board.stores[name].may_serve(board.plan.release):
            board.become(name, StoreState.ROLLING_BACK, course.clock)


def _spend(board: Board, course: Course) -> None:
    reason = breach(board, course)
    if reason and board.plan.on_breach == "rollback":
        roll_back(board, course, reason)
    elif reason:
        course.state, course.reason = RolloutState.PAUSED, reason


def _step(number: int, board: Board, course: Course) -> bool:
    """Move one wave on by one state; False where it has to wait."""
    wave, planned = course.waves[number], board.plan.waves[number]
    if wave.state in (WaveState.WAITING, WaveState.HELD):
        return _begin(number, wave, planned, board, course)
    if wave.state is WaveState.RUNNING:
        counts = board.counts[number]
        if board.open_in(number) or counts[StoreState.SERVING] < planned.min_serving:
            return False
        wave.state, wave.soak_began = WaveState.SOAKING, course.clock
        return True
    return _soak(number, wave, planned, board, course)


def _begin(number: int, wave: WaveCourse, planned: PlannedWave, board: Board, course: Course) -> bool:
    if planned.approval and not wave.approved:
        wave.state = WaveState.HELD
        return False
    wave.state, wave.began = WaveState.RUNNING, course.clock
    board.expect(number, course.clock)
    return True


def _soak(number: int, wave: WaveCourse, planned: PlannedWave, board: Board, course: Course) -> bool:
    """After the soak every store that serves is asked once more, and what it says counts."""
    if wave.soak_began is None or course.clock < wave.soak_began + planned.soak_seconds:
        return False
    if planned.soak_seconds and not wave.checked:
        wave.checked = True
        for store in board.of_wave(number):
            if store.state is StoreState.SERVING:
                board.doubt(store.store)
    if any(store.doubtful for store in board.of_wave(number)):
        return False
    wave.state, wave.ended = WaveState.DONE, course.clock
    return True


def _end(board: Board, course: Course) -> None:
    """All waves are done: what was offline or late may still come, for a while."""
    if course.current is not None or course.ended is None:
        return
    waiting = sum(board.total(state) for state in CATCHING_UP) + sum(
        map(board.open_in, range(len(course.waves)))
    )
    if not waiting:
        course.state = RolloutState.DONE
    elif course.clock >= course.ended + board.plan.open_for_seconds:
        course.state = RolloutState.DONE
        course.reason = f"{many(waiting, 'store')} not reached in time"


def _end_rollback(board: Board, course: Course) -> None:
    waiting = board.total(StoreState.ROLLING_BACK)
    over = course.back_began is not None and course.clock >= course.back_began + board.plan.open_for_seconds
    if not waiting or over:
        course.state = RolloutState.ROLLED_BACK
    if waiting and over:
        course.reason = f"{course.reason}; {many(waiting, 'store')} not reached in time"
