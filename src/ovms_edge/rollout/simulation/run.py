"""A rollout over simulated stores by the engine that moves real ones, in as little time as it computes."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.rollout.board import fresh_stores
from ovms_edge.rollout.command import Command
from ovms_edge.rollout.engine import Engine, Pace
from ovms_edge.rollout.journal import Journal
from ovms_edge.rollout.plan import Plan
from ovms_edge.rollout.simulation.clock import VirtualClock
from ovms_edge.rollout.simulation.fleet import SimFleet
from ovms_edge.rollout.simulation.transport import SimTransport
from ovms_edge.rollout.states import StoreState, WaveState

_PATIENCE_SECONDS = 3600.0  # nobody leaves commands


@dataclass(frozen=True, slots=True)
class Simulated:
    """How it ended, and what it took: stores by state, virtual and real seconds, CPU, memory in bytes."""

    state: str
    reason: str | None
    counts: dict[str, int]
    activations: int
    virtual_seconds: float
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int

    @property
    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {name: getattr(self, name) for name in self.__slots__}


def simulate(plan: Plan, fleet: SimFleet, path: Path) -> Simulated:
    """Run ``plan`` to its end or first pause, approving each wave; ``path`` is a journal's."""
    began, cpu = time.monotonic(), time.process_time()
    clock = VirtualClock()
    journal = Journal(path, durable=False)
    try:
        journal.create(plan, "", fresh_stores(plan), clock.utc())
        engine = Engine(journal, plan.id, SimTransport(fleet, clock), clock, Pace(_PATIENCE_SECONDS))
        while engine.turn():
            held = [
                planned.name
                for planned, wave in zip(plan.waves, engine.course.waves, strict=True)
                if wave.state is WaveState.HELD
            ]
            if held:
                journal.leave(plan.id, Command("approve", "simulation", waves=tuple(held)), clock.utc())
        return Simulated(
            engine.course.state.value,
            engine.course.reason,
            {state.value: count for state in StoreState if (count := engine.board.total(state))},
            sum(len(store.moves) for store in fleet.stores.values()),
            round(clock.seconds(), 1),
            round(time.monotonic() - began, 2),
            round(time.process_time() - cpu, 2),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )
    finally:
        journal.close()
