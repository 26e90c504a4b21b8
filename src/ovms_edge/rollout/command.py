"""What an operator tells a rollout: left in the journal, taken up by the engine when it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ovms_edge.rollout.advance import roll_back, send_back
from ovms_edge.rollout.board import Board
from ovms_edge.rollout.budget import breach, forgive
from ovms_edge.rollout.course import Course
from ovms_edge.rollout.states import RolloutState, StoreState
from ovms_edge.rollout.words import many

CLOSED = frozenset({RolloutState.ABORTED, RolloutState.ROLLED_BACK, RolloutState.DONE})


@dataclass(frozen=True, slots=True)
class Command:
    """``verb`` is one of ``VERBS``. ``stores``: names, None for all; ``waves``: names of waves.

    ``forgive``: the failures so far count no more.
    """

    verb: str
    who: str
    stores: tuple[str, ...] | None = None
    waves: tuple[str, ...] = ()
    forgive: bool = False
    reason: str | None = None

    @property
    def document(self) -> dict[str, Any]:
        """Return what stands in the journal."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Command:
        """Return what ``document`` was made of."""
        stores = document["stores"]
        return cls(
            **{
                **document,
                "waves": tuple(document["waves"]),
                "stores": None if stores is None else tuple(stores),
            }
        )


def obey(command: Command, board: Board, course: Course) -> str:
    """Do what it says; returns what came of it, for the history."""
    if command.verb not in _WHEN_CLOSED.get(course.state, VERBS):
        return f"nothing done: the rollout is {course.state.value}"
    return VERBS[command.verb](command, board, course)


def _pause(command: Command, board: Board, course: Course) -> str:
    del board
    if course.state is not RolloutState.RUNNING:
        return f"nothing done: the rollout is {course.state.value}"
    course.state, course.reason = RolloutState.PAUSED, command.reason or f"paused by {command.who}"
    return "paused"


def _resume(command: Command, board: Board, course: Course) -> str:
    if command.forgive:
        forgive(board, course)
    if course.state is not RolloutState.PAUSED:
        return f"nothing done: the rollout is {course.state.value}"
    still = breach(board, course)
    if still:
        course.reason = still
        return f"nothing done: {still}"
    course.state, course.reason = RolloutState.RUNNING, None
    return "resumed"


def _abort(command: Command, board: Board, course: Course) -> str:
    del board
    course.state, course.reason = RolloutState.ABORTED, command.reason or f"aborted by {command.who}"
    return "aborted"


def _approve(command: Command, board: Board, course: Course) -> str:
    for number, wave in enumerate(board.plan.waves):
        if wave.name in command.waves:
            course.waves[number].approved = command.who
    return f"approved {', '.join(command.waves)}"


def _rollback(command: Command, board: Board, course: Course) -> str:
    """All, or some stores; with some the rest stays as it is, and nothing goes on by itself."""
    if command.stores is None:
        roll_back(board, course, command.reason or f"rolled back by {command.who}")
        return "all go back"
    send_back(board, course, [name for name in command.stores if name in board.stores])
    if course.state is not RolloutState.ROLLING_BACK:
        course.state = RolloutState.PAUSED
        course.reason = f"{many(len(command.stores), 'store')} sent back by {command.who}"
    return f"{many(len(command.stores), 'store')} to go back"


def _retry(command: Command, board: Board, course: Course) -> str:
    """Let what failed or went back begin anew, and be tried even where a gate refused it before."""
    again = [
        store
        for store in board.stores.values()
        if store.state in (StoreState.FAILED, StoreState.ROLLED_BACK)
        and (command.stores is None or store.store in command.stores)
    ]
    for store in again:
        store.retry = True
        board.become(store.store, StoreState.STAGED if store.staged else StoreState.PENDING, course.clock)
    if again and course.state is RolloutState.DONE:
        course.state, course.reason = RolloutState.RUNNING, None
    return f"{many(len(again), 'store')} to begin anew"


def _verify(command: Command, board: Board, course: Course) -> str:
    """Have every store asked that is through with it."""
    del command, course
    settled = (StoreState.SERVING, StoreState.FAILED, StoreState.ROLLED_BACK)
    asked = [store.store for store in board.stores.values() if store.state in settled]
    for name in asked:
        board.doubt(name)
    return f"{many(len(asked), 'store')} to be asked"


VERBS: dict[str, Callable[[Command, Board, Course], str]] = {
    "pause": _pause,
    "resume": _resume,
    "abort": _abort,
    "approve": _approve,
    "rollback": _rollback,
    "retry": _retry,
    "verify": _verify,
}
_WHEN_CLOSED = {
    RolloutState.DONE: ("rollback", "retry", "verify"),
    RolloutState.ABORTED: ("rollback", "verify"),
    RolloutState.ROLLED_BACK: ("verify",),
}
