"""Plans and simulated fleets for tests of the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovms_edge.rollout.board import fresh_stores
from ovms_edge.rollout.budget import breach
from ovms_edge.rollout.calendar import Calendar
from ovms_edge.rollout.command import Command
from ovms_edge.rollout.course import BEGUN
from ovms_edge.rollout.engine import Engine, Pace
from ovms_edge.rollout.journal import Journal
from ovms_edge.rollout.plan import Plan, PlannedWave
from ovms_edge.rollout.simulation.clock import VirtualClock
from ovms_edge.rollout.simulation.fleet import SimFleet, SimStore
from ovms_edge.rollout.simulation.transport import SimTransport
from ovms_edge.rollout.states import RolloutState, StoreState
from ovms_edge.rollout.stores import Store
from ovms_edge.rollout.transport import Kind, Order

OLD, NEW = "vlm@1", "vlm@2"
ALWAYS = Calendar((), ())


class CrashError(BaseException):
    """The controller dies. No code of ours catches it."""


def wave(name: str, stores: Sequence[str], **changes: Any) -> PlannedWave:
    values: dict[str, Any] = {
        "soak_seconds": 0.0,
        "approval": False,
        "min_serving": 0,
        "concurrency": 5,
        "failed_limit": 0,
        "late_limit": 100,
        "calendar": ALWAYS,
    }
    return PlannedWave(name=name, stores=tuple(stores), **{**values, **changes})


def plan_of(*waves: PlannedWave, timezone: str = "UTC", **changes: Any) -> Plan:
    names = [name for one in waves for name in one.stores]
    values: dict[str, Any] = {
        "id": "r-00000000",
        "name": "r",
        "release": NEW,
        "staging": "ahead",
        "on_breach": "pause",
        "late_after_seconds": 4 * 3600.0,
        "retry_every_seconds": 900.0,
        "open_for_seconds": 14 * 86400.0,
        "failed_limit": 0,
        "late_limit": 100,
        "stores": {name: Store(name, timezone=timezone) for name in sorted(names)},
        "unsuitable": {},
        "fetch_bytes": {},
        "before": dict.fromkeys(sorted(names), OLD),
    }
    return Plan(waves=tuple(waves), **{**values, **changes})


def names(count: int, first: int = 1) -> list[str]:
    return [f"s{number:03}" for number in range(first, first + count)]


def fleet_of(plan: Plan, **stores: SimStore) -> SimFleet:
    """Return the plan's stores, good ones where ``stores`` says nothing else."""
    return SimFleet(stores.get(name) or SimStore(name, OLD) for name in plan.stores)


class CrashingJournal(Journal):
    """Dies at its commit number ``crash_at``, from 0: right before it, or right after."""

    def __init__(self, path: Path, crash_at: int | None = None, after: bool = False) -> None:
        self.commits, self.crash_at, self.after = 0, None, after
        super().__init__(path, durable=False)
        self.commits, self.crash_at = 0, crash_at

    def commit(self) -> None:
        here = self.commits == self.crash_at
        self.commits += 1
        if here and not self.after:
            raise CrashError
        super().commit()
        if here:
            raise CrashError


@dataclass
class Watched(SimTransport):
    """Holds the engine to its rules each time that it tells stores something."""

    fleet: SimFleet
    clock: VirtualClock
    engine: Engine | None = None
    sent: list[tuple[float, Order]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.fleet, self.clock)

    def send(self, orders: Sequence[Order]) -> None:
        assert self.engine
        board, course = self.engine.board, self.engine.course
        for order in orders:
            self.sent.append((self.clock.seconds(), order))
            if order.kind not in (Kind.ACTIVATE, Kind.STAGE):
                continue
            assert course.state is RolloutState.RUNNING
            assert breach(board, course) is None
            if order.kind is Kind.ACTIVATE:
                for number in {board.stores[name].wave for name in order.stores}:
                    assert course.waves[number].state in BEGUN
                    assert board.activating[number] <= board.plan.waves[number].concurrency
        super().send(orders)

    def told(self, kind: Kind) -> list[str]:
        return [name for _, order in self.sent if order.kind is kind for name in order.stores]


@dataclass
class Run:
    """One rollout over a simulated fleet, whose journal outlives its engines."""

    plan: Plan
    fleet: SimFleet
    path: Path
    clock: VirtualClock = field(default_factory=VirtualClock)
    transports: list[Watched] = field(default_factory=list)

    def start(self) -> Run:
        journal = Journal(self.path, durable=False)
        journal.create(self.plan, "inventory", fresh_stores(self.plan), self.clock.utc())
        journal.close()
        return self

    def engine(self, journal: Journal) -> Engine:
        transport = Watched(self.fleet, self.clock)
        engine = Engine(journal, self.plan.id, transport, self.clock, Pace(patience=3600.0, stage_at_once=10))
        transport.engine = engine
        self.transports.append(transport)
        return engine

    def go(
        self, until: Callable[[Engine], bool] = lambda engine: False, journal: Journal | None = None
    ) -> Engine:
        """Run an engine to the end, or until ``until`` says so."""
        journal = journal or Journal(self.path, durable=False)
        try:
            engine = self.engine(journal)
            for _ in range(100_000):
                if not engine.turn() or until(engine):
                    return engine
            raise AssertionError("it does not end")
        finally:
            journal.close()

    def tell(self, verb: str, **options: Any) -> None:
        journal = Journal(self.path, durable=False)
        journal.leave(self.plan.id, Command(verb, "operator", **options), self.clock.utc())
        journal.close()

    def told(self, kind: Kind) -> list[str]:
        return [name for transport in self.transports for name in transport.told(kind)]

    def states(self) -> dict[str, str]:
        journal = Journal(self.path, durable=False)
        try:
            return {store.store: store.state.value for store, _ in journal.stores(self.plan.id)}
        finally:
            journal.close()

    def serving(self) -> dict[str, str]:
        return {name: store.serving for name, store in self.fleet.stores.items()}


def state_of(engine: Engine, name: str) -> StoreState:
    return engine.board.stores[name].state
