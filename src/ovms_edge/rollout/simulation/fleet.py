"""Stores as data: what each has, how it answers, when it is offline; what it does outlives a dead engine."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from ovms_edge.rollout.transport import Kind, Order, Outcome, Result

_CONNECT_SECONDS = 10.0  # how long SSH tries
_ASK_SECONDS = 2.0
_UNREACHABLE = "no answer within 10 s"


class Temper(StrEnum):
    """How a store takes the release."""

    GOOD = "good"
    REFUSES = "refuses"  # its gate says no
    TURNS_BAD = "turns bad"  # its gate says yes, and no when it is asked again
    NO_SPACE = "no space"  # it cannot stage
    WRONG_CLOCK = "wrong clock"  # nor can it: it takes every certificate for one of another time
    STUCK = "stuck"  # what it was told never ends


# Reason and remedy, as a node words them.
_CANNOT_STAGE = {
    Temper.NO_SPACE: ("no space: 9.1 GiB needed, 3.2 GiB free", "free space"),
    Temper.WRONG_CLOCK: ("the depot's certificate is not yet valid", "set the clock of this host"),
}


@dataclass(slots=True)
class SimStore:
    """``offline``: (from, to) in seconds, in order. ``moves``: what it came to serve, and when."""

    name: str
    serving: str
    temper: Temper = Temper.GOOD
    stage_seconds: float = 60.0
    activate_seconds: float = 20.0
    offline: tuple[tuple[float, float], ...] = ()
    previous: str | None = None
    staged: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    working: bool = False
    moves: list[tuple[float, str]] = field(default_factory=list)

    def online(self, at: float) -> bool:
        """Whether it can be reached."""
        return not any(begin <= at < end for begin, end in self.offline)

    def online_until(self, at: float) -> float:
        """Return when a connection that stands at ``at`` breaks."""
        return next((begin for begin, _ in self.offline if begin >= at), float("inf"))

    def move(self, release: str, at: float) -> None:
        """Serve another release."""
        self.previous, self.serving = self.serving, release
        self.moves.append((at, release))


class SimFleet:
    """All stores, and what they are in the middle of."""

    def __init__(self, stores: Iterable[SimStore]) -> None:
        self.stores = {store.name: store for store in stores}
        self._effects: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0

    def work_until(self, at: float) -> None:
        """Let every store finish what it finishes until then."""
        while self._effects and self._effects[0][0] <= at:
            when, _, effect = heapq.heappop(self._effects)
            effect(when)

    def tell(self, name: str, order: Order, now: float) -> tuple[float, Callable[[], Result]]:
        """Tell a store something; returns when it answers, and what, to be called no earlier than then."""
        store = self.stores[name]
        if not store.online(now):
            return now + _CONNECT_SECONDS, lambda: _unreachable(store, order)
        if order.kind is Kind.VERIFY:
            return now + _ASK_SECONDS, lambda: _verified(store, order)
        if store.working:
            busy = Result(name, order.kind, Outcome.BUSY, "another ovms-node is at work")
            return now + _ASK_SECONDS, lambda: busy
        end = now + self._seconds(store, order)
        store.working = True
        answers: list[Result] = []

        def finish(at: float) -> None:
            store.working = False
            answers.append(_done(store, order, at))

        if end != float("inf"):
            self._later(end, finish)
        broken = store.online_until(now)
        if broken < end:
            return broken + _CONNECT_SECONDS, lambda: _unreachable(store, order)
        return end, lambda: answers[0]

    def _later(self, at: float, effect: Callable[[float], None]) -> None:
        self._count += 1
        heapq.heappush(self._effects, (at, self._count, effect))

    def _seconds(self, store: SimStore, order: Order) -> float:
        if order.kind is Kind.STAGE:
            return _ASK_SECONDS if order.release in store.staged else store.stage_seconds
        if order.kind is Kind.BACK:
            return store.activate_seconds if store.serving == order.release else _ASK_SECONDS
        if store.serving == order.release:
            return _ASK_SECONDS
        return float("inf") if store.temper is Temper.STUCK else store.activate_seconds


def _unreachable(store: SimStore, order: Order) -> Result:
    return Result(store.name, order.kind, Outcome.UNREACHABLE, _UNREACHABLE, "see its link")


def _verified(store: SimStore, order: Order) -> Result:
    if store.temper is Temper.TURNS_BAD and store.serving == order.release:
        reason = "the answer to 'tray' is not what it should be"
        return Result(store.name, order.kind, Outcome.FAILED, reason, "roll back", store.serving)
    return Result(store.name, order.kind, Outcome.OK, serving=store.serving)


def _done(store: SimStore, order: Order, at: float) -> Result:
    seconds, before = _usual_seconds(store, order), store.serving
    if order.kind is Kind.STAGE:
        if store.temper in _CANNOT_STAGE:
            return _failed(store, order, *_CANNOT_STAGE[store.temper])
        store.staged.add(order.release)
    elif order.kind is Kind.BACK:
        if store.serving == order.release and store.previous:
            store.move(store.previous, at)
    elif store.serving != order.release:
        if order.release not in store.staged:
            return _failed(store, order, f"{order.release} is not staged", "stage it")
        if store.temper is Temper.REFUSES:
            store.refused.add(order.release)
            return _failed(store, order, "the answer to 'tray' is empty", "build the release again")
        store.move(order.release, at)
    return Result(store.name, order.kind, Outcome.OK, serving=store.serving, before=before, seconds=seconds)


def _usual_seconds(store: SimStore, order: Order) -> float:
    return store.stage_seconds if order.kind is Kind.STAGE else store.activate_seconds


def _failed(store: SimStore, order: Order, reason: str, remedy: str) -> Result:
    return Result(store.name, order.kind, Outcome.FAILED, reason, remedy, store.serving)
