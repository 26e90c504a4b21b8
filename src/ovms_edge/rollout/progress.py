"""One store's way through a rollout: what it is, what it is busy with, and what an answer makes of it.

No I/O. ``clock`` is the rollout's own: seconds during which an engine watched it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ovms_edge.rollout.states import StoreState
from ovms_edge.rollout.transport import Kind, Outcome, Result

# A store that something else changes just now is asked again soon.
BUSY_SECONDS = 30.0
# Waits end on a grid, so that stores which are told again are told in one run.
TOGETHER_SECONDS = 60.0
_BUSY_STATES = {
    Kind.STAGE: StoreState.STAGING,
    Kind.ACTIVATE: StoreState.ACTIVATING,
    Kind.BACK: StoreState.ROLLING_BACK,
}
# A wave is not over while one of its stores is in one of these.
OPEN = frozenset({StoreState.PENDING, StoreState.STAGING, StoreState.STAGED, StoreState.ACTIVATING})
# These go on later, whatever the waves do.
CATCHING_UP = frozenset({StoreState.UNREACHABLE, StoreState.LATE})


@dataclass(slots=True)
class Progress:
    """``touched``: an activation was begun, so it may serve the release.

    ``doubtful``: it is to be asked what it serves. ``begun``: the clock when it was first told what it has
    not done yet, 0 if it was not. ``due``: the clock before which it is left alone.
    """

    store: str
    wave: int
    state: StoreState = StoreState.PENDING
    busy: Kind | None = None
    staged: bool = False
    touched: bool = False
    doubtful: bool = False
    retry: bool = False
    attempts: int = 0
    begun: float = 0.0
    due: float = 0.0
    reason: str | None = None
    remedy: str | None = None
    before: str | None = None
    serving: str | None = None
    stage_seconds: float | None = None
    activate_seconds: float | None = None
    fetch_bytes: int | None = None

    @property
    def next(self) -> Kind | None:
        """What this store has to do next when its turn comes; None if nothing, or while it is busy."""
        if self.busy:
            return None
        if self.state is StoreState.ROLLING_BACK:
            return Kind.BACK
        if self.doubtful:
            return Kind.VERIFY
        if self.state in CATCHING_UP:
            return Kind.ACTIVATE if self.staged else Kind.STAGE
        return {
            StoreState.PENDING: Kind.STAGE,
            StoreState.STAGED: Kind.ACTIVATE,
        }.get(self.state)

    def may_serve(self, release: str) -> bool:
        """Whether a rollback has to look at it: it may serve what the rollout brought."""
        went_back = self.state is StoreState.FAILED and self.serving not in (None, release)
        return self.touched and not went_back and self.state is not StoreState.ROLLED_BACK

    def begin(self, kind: Kind, clock: float) -> None:
        """Note that the store is being told; this has to be durable before it is told."""
        self.busy = kind
        if kind is Kind.VERIFY:
            return
        if self.state not in CATCHING_UP:  # one that is not reached for days would fill the history
            self.state = _BUSY_STATES[kind]
        self.begun = self.begun or clock
        self.attempts += 1
        self.touched |= kind is Kind.ACTIVATE

    def forget_run(self) -> None:
        """Note that the engine which waited for an answer is gone."""
        kind, self.busy = self.busy, None
        self.doubtful |= kind is Kind.ACTIVATE
        if kind is Kind.STAGE and self.state is StoreState.STAGING:
            self.state = StoreState.PENDING

    def answer(self, result: Result, release: str, clock: float, retry_seconds: float) -> None:
        """Take in what the store said to what it was busy with."""
        self.busy = None
        self.serving = result.serving or self.serving
        if result.outcome is Outcome.OK:
            self.reason = self.remedy = None
        if result.outcome is not Outcome.BUSY:
            self.doubtful = False
        if self.state is StoreState.ROLLING_BACK and result.kind is not Kind.BACK:
            return  # it was told to go back meanwhile, and does that next
        if result.outcome is Outcome.BUSY:
            self._wait_for_another(result, clock, retry_seconds)
        elif result.outcome is Outcome.UNREACHABLE:
            self._not_reached(result, clock + retry_seconds)
        elif result.kind is Kind.STAGE:
            self._staged(result)
        elif result.kind is Kind.ACTIVATE:
            self._activated(result)
        elif result.kind is Kind.VERIFY:
            self._verified(result, release, clock)
        else:
            self._went_back(result)

    def _wait(self, state: StoreState, due: float) -> None:
        self.state, self.due = state, math.ceil(due / TOGETHER_SECONDS) * TOGETHER_SECONDS

    def _wait_for_another(self, result: Result, clock: float, retry_seconds: float) -> None:
        if self.state in CATCHING_UP:
            self._wait(self.state, clock + retry_seconds)
        else:
            again = {Kind.STAGE: StoreState.PENDING, Kind.ACTIVATE: StoreState.STAGED}
            asked_for = clock - self.begun  # the longer it takes the less often it is asked
            wait = min(max(asked_for, BUSY_SECONDS), retry_seconds)
            self._wait(again.get(result.kind, self.state), clock + wait)

    def _not_reached(self, result: Result, due: float) -> None:
        if result.kind is Kind.VERIFY and self.state is StoreState.SERVING:
            return  # it was serving when it was seen last
        self.reason, self.remedy, self.begun = result.reason, result.remedy, 0.0
        back = result.kind is Kind.BACK
        self._wait(StoreState.ROLLING_BACK if back else StoreState.UNREACHABLE, due)

    def _staged(self, result: Result) -> None:
        self.stage_seconds = result.seconds
        self.fetch_bytes = result.fetch_bytes
        if result.outcome is Outcome.OK:
            self.staged, self.state, self.begun = True, StoreState.STAGED, 0.0
        else:
            self._fail(result)

    def _activated(self, result: Result) -> None:
        self.activate_seconds = result.seconds
        self.before = result.before or self.before
        self.retry = False
        if result.outcome is Outcome.OK:
            self.state = StoreState.SERVING
        else:
            self._fail(result)

    def _verified(self, result: Result, release: str, clock: float) -> None:
        """Fail a store that was to serve and does not; let one of which nobody heard begin anew.

        One that was moved by hand says nothing of the release: it stays what it was, and drifts.
        """
        serves = self.serving == release
        if self.state is StoreState.SERVING:
            if serves and result.outcome is Outcome.FAILED:
                self._fail(result)
        elif self.state not in (StoreState.FAILED, StoreState.ROLLED_BACK):
            if serves and result.outcome is Outcome.OK:
                self.state = StoreState.SERVING
            elif self.state is StoreState.ACTIVATING:
                self.state = StoreState.STAGED
            else:
                self.due = clock

    def _went_back(self, result: Result) -> None:
        if result.outcome is Outcome.OK:
            self.state = StoreState.ROLLED_BACK
        else:
            self._fail(result)

    def _fail(self, result: Result) -> None:
        self.reason, self.remedy = result.reason, result.remedy
        self.state = StoreState.FAILED
