"""The engine takes in answers, lets time pass, tells stores what is due, one durable turn after the other.

A turn decides everything in memory (``board``, ``course``), writes it in one transaction, and only then tells
stores. So an engine that dies has told no store what the journal does not know; the next one asks those of
which nobody heard.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ovms_edge.rollout.advance import advance
from ovms_edge.rollout.board import Board, Change
from ovms_edge.rollout.command import CLOSED, Command, obey
from ovms_edge.rollout.course import Course
from ovms_edge.rollout.journal import Journal
from ovms_edge.rollout.orders import next_opening, take_orders
from ovms_edge.rollout.progress import Progress
from ovms_edge.rollout.states import RolloutState, StoreState, WaveState
from ovms_edge.rollout.transport import Clock, Kind, Transport

# The rollout's clock is durable this often while nothing else happens.
_TICK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Pace:
    """``patience``: seconds to wait for answers before commands are looked for. ``stage_at_once``: stores."""

    patience: float = 1.0
    stage_at_once: int = 200


class Engine:
    """Moves one rollout. Raises EdgeError where the journal cannot be written: then nothing more is told."""

    def __init__(
        self, journal: Journal, rollout: str, transport: Transport, clock: Clock, pace: Pace | None = None
    ) -> None:
        self._journal, self._transport, self._clock = journal, transport, clock
        self._pace = pace or Pace()
        self._id = rollout
        self.plan, _ = journal.plan(rollout)
        self.course: Course = journal.course(rollout)
        self.board = Board(self.plan, (store for store, _ in journal.stores(rollout)))
        self._base = self.course.clock - clock.seconds()
        self._saved = self.course.clock
        self._waves = [replace(wave) for wave in self.course.waves]
        self._state = self.course.state
        self.board.forget_runs()

    def obey(self) -> None:
        """Take up the commands that were left, and tell no store anything."""
        self._save(
            [(seq, command, obey(command, self.board, self.course)) for seq, command in self._commands()]
        )

    def turn(self) -> bool:
        """Do what is due, wait for answers, take them in; False when there is nothing left to do."""
        self.course.clock = self._base + self._clock.seconds()
        done = [(seq, command, obey(command, self.board, self.course)) for seq, command in self._commands()]
        advance(self.board, self.course)
        orders = take_orders(self.board, self.course, self._clock.utc(), self._pace.stage_at_once)
        self._save(done)
        if orders:
            self._transport.send(orders)
        if self.over:
            return False
        for result in self._transport.results(self._wait()):
            self.course.clock = self._base + self._clock.seconds()
            self.board.answer(result, self.course.clock)
        return True

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself, and no answer is waited for."""
        if self.course.state in CLOSED:
            aborting = self.course.state is RolloutState.ABORTED and self.board.awaited
            return not (aborting or self.board.busy[Kind.VERIFY])
        paused = self.course.state is RolloutState.PAUSED
        return paused and not self.board.awaited and not self.board.total(StoreState.ROLLING_BACK)

    def _commands(self) -> list[tuple[int, Command]]:
        return self._journal.commands(self._id)

    def _save(self, done: list[tuple[int, Command, str]]) -> None:
        changes = self.board.take_changes()
        waves = [
            (number, old, replace(wave))
            for number, (old, wave) in enumerate(zip(self._waves, self.course.waves, strict=True))
            if wave != old
        ]
        quiet = not (changes or done or waves or self.course.state is not self._state)
        if quiet and self.course.clock < self._saved + _TICK_SECONDS:
            return
        now = self._clock.utc()
        with self._journal.transaction():
            self._journal.save(self._id, self.course, self._rows(changes), now)
            for number, old, new in waves:
                self._journal.save_wave(self._id, number, new, now)
                if old.state is not new.state:
                    self._journal.note(self._id, old.state.value, new.state.value, None, now, number)
            for seq, command, outcome in done:
                self._journal.done(seq, outcome)
                said = f"{command.verb} by {command.who}: {outcome}"
                self._journal.note(self._id, command.verb, command.verb, said, now)
            if self.course.state is not self._state:
                old_state, new_state = self._state.value, self.course.state.value
                self._journal.note(self._id, old_state, new_state, self.course.reason, now)
        self._saved, self._state = self.course.clock, self.course.state
        for number, _, new in waves:
            self._waves[number] = new

    def _rows(self, changes: list[Change]) -> list[tuple[Progress, Change]]:
        return [(self.board.stores[change.store], change) for change in changes]

    def _wait(self) -> float:
        """Return how many seconds nothing but an answer can change anything."""
        clock = self.course.clock
        moments = [self.board.next_moment()]
        for wave, planned in zip(self.course.waves, self.plan.waves, strict=True):
            if wave.state is WaveState.SOAKING and wave.soak_began is not None:
                moments.append(wave.soak_began + planned.soak_seconds)
        for end in (self.course.ended, self.course.back_began):
            moments.append(None if end is None else end + self.plan.open_for_seconds)
        waits = [moment - clock for moment in moments if moment is not None and moment > clock]
        now = self._clock.utc()
        if (opening := next_opening(self.board, self.course, now)) is not None:
            waits.append((opening - now).total_seconds())
        return max(0.0, min([*waits, self._pace.patience]))
