"""The transport to a simulated fleet: orders take virtual time, answers come in its order."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from ovms_edge.rollout.simulation.clock import VirtualClock
from ovms_edge.rollout.simulation.fleet import SimFleet
from ovms_edge.rollout.transport import Order, Result

# Answers within a second are taken in together, as by a real transport that is asked once a second.
_TOGETHER_SECONDS = 1.0


class SimTransport:
    """One engine's connection: with the engine it goes, and the answers on their way with it."""

    def __init__(self, fleet: SimFleet, clock: VirtualClock) -> None:
        self._fleet, self._clock = fleet, clock
        self._answers: list[tuple[float, int, Callable[[], Result]]] = []
        self._count = 0

    def send(self, orders: Sequence[Order]) -> None:
        """Tell each store; a store that never answers is heard of no more."""
        now = self._clock.seconds()
        for order in orders:
            for name in order.stores:
                at, answer = self._fleet.tell(name, order, now)
                self._count += 1
                heapq.heappush(self._answers, (at, self._count, answer))

    def results(self, seconds: float) -> list[Result]:
        """Let time pass until the next answer, at most ``seconds``; returns what has come then."""
        end = self._clock.seconds() + seconds
        if self._answers and self._answers[0][0] <= end:
            end = min(end, self._answers[0][0] + _TOGETHER_SECONDS)
        self._clock.pass_to(end)
        self._fleet.work_until(end)
        come = []
        while self._answers and self._answers[0][0] <= end:
            come.append(heapq.heappop(self._answers)[2]())
        return come

    def close(self) -> None:
        """Forget the answers on their way."""
        self._answers.clear()
