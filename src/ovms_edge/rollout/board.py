"""All stores of one rollout, indexed by what the engine has to know at each moment. No I/O.

Every change goes through ``begin``, ``answer`` and ``become``, which keep the counts and the queues; what
changed since the last ``take_changes`` is what the journal has to write.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ovms_edge.rollout.plan import Plan
from ovms_edge.rollout.progress import CATCHING_UP, OPEN, Progress
from ovms_edge.rollout.states import StoreState
from ovms_edge.rollout.transport import Kind, Result

# One that was not reached before, and was told something since, is no different.
_MAY_BE_LATE = OPEN | {StoreState.UNREACHABLE}

Zone = tuple[int, str]  # wave and time zone: stores whose window opens at the same time


@dataclass(frozen=True, slots=True)
class Change:
    """A store whose row is to be written; ``old`` and ``new`` are equal where its state stayed."""

    store: str
    old: StoreState
    new: StoreState
    reason: str | None


class Board:
    """``stores`` by name. The queues hold names whose turn may have come; who takes one looks again."""

    def __init__(self, plan: Plan, stores: Iterable[Progress]) -> None:
        self.plan = plan
        self.stores: dict[str, Progress] = {}
        self.counts: tuple[Counter[StoreState], ...] = tuple(Counter() for _ in plan.waves)
        self.busy: Counter[Kind] = Counter()
        self.activating: Counter[int] = Counter()  # by wave
        self.to_stage: dict[int, deque[str]] = defaultdict(deque)
        self.to_activate: dict[Zone, deque[str]] = defaultdict(deque)
        self.to_verify: deque[str] = deque()
        self.to_bring_back: deque[str] = deque()
        self._due: list[tuple[float, str]] = []
        self._deadlines: list[tuple[float, str]] = []
        self._changes: dict[str, Change] = {}
        for store in stores:
            self.stores[store.store] = store
            self.counts[store.wave][store.state] += 1
            self._count_busy(store, 1)
            self._queue(store)

    def of_wave(self, number: int) -> Iterator[Progress]:
        """Yield the stores of a wave."""
        return (self.stores[name] for name in self.plan.waves[number].stores)

    def total(self, state: StoreState) -> int:
        """Return how many stores of all waves are in ``state``."""
        return sum(counts[state] for counts in self.counts)

    def open_in(self, number: int) -> int:
        """Return how many stores of a wave have not been through it yet."""
        return sum(self.counts[number][state] for state in OPEN)

    @property
    def awaited(self) -> bool:
        """Whether an answer is on its way; a late store's may never come."""
        return any(store.busy and store.state is not StoreState.LATE for store in self.stores.values())

    def begin(self, name: str, kind: Kind, clock: float) -> None:
        """Note that a store is being told."""
        store = self.stores[name]
        self._changing(store, lambda: store.begin(kind, clock))
        if kind in (Kind.STAGE, Kind.ACTIVATE):
            heapq.heappush(self._deadlines, (store.begun + self.plan.late_after_seconds, name))

    def answer(self, result: Result, clock: float) -> None:
        """Take in an answer; one to a question that nobody asked, or that came twice, is dropped."""
        store = self.stores.get(result.store)
        if store is None or store.busy is not result.kind:
            return
        plan = self.plan
        self._changing(store, lambda: store.answer(result, plan.release, clock, plan.retry_every_seconds))

    def become(self, name: str, state: StoreState, clock: float, reason: str | None = None) -> None:
        """Put a store that is not waited for into ``state``."""
        store = self.stores[name]

        def change() -> None:
            store.state, store.due, store.begun = state, clock, 0.0
            if reason:
                store.reason = reason

        self._changing(store, change)

    def doubt(self, name: str) -> None:
        """Have a store asked what it serves."""
        store = self.stores[name]

        def change() -> None:
            store.doubtful, store.due = True, 0.0

        self._changing(store, change)

    def forget_runs(self) -> None:
        """Note that no answer will come to what was asked before."""
        for store in self.stores.values():
            if store.busy:
                self._changing(store, store.forget_run)

    def due(self, clock: float) -> Iterator[Progress]:
        """Yield, once, the stores that waited until now."""
        while self._due and self._due[0][0] <= clock:
            due, name = heapq.heappop(self._due)
            store = self.stores[name]
            if store.due == due and store.next:
                yield store

    def late(self, clock: float, begun: Callable[[int], float | None]) -> list[str]:
        """Return the stores that are late now; ``begun`` says when a wave began, None if it has not."""
        late = []
        while self._deadlines and self._deadlines[0][0] <= clock:
            _, name = heapq.heappop(self._deadlines)
            store = self.stores[name]
            wave_began = begun(store.wave)
            if not (store.begun and store.state in _MAY_BE_LATE) or wave_began is None:
                continue  # of a wave that has not begun: `expect` looks at it again when it does
            deadline = max(store.begun, wave_began) + self.plan.late_after_seconds
            if deadline > clock:
                heapq.heappush(self._deadlines, (deadline, name))
            else:
                late.append(name)
        return late

    def expect(self, number: int, clock: float) -> None:
        """Let a wave begin: its stores may be late from now on, and the unreachable are tried again."""
        for store in self.of_wave(number):
            if store.state is StoreState.UNREACHABLE and not store.busy:
                again = StoreState.STAGED if store.staged else StoreState.PENDING
                self.become(store.store, again, clock)
            elif store.begun and store.state in _MAY_BE_LATE:
                heapq.heappush(self._deadlines, (clock + self.plan.late_after_seconds, store.store))

    def next_moment(self) -> float | None:
        """Return the clock at which a wait or a deadline ends first; None if there is none."""
        heads = [heap[0][0] for heap in (self._due, self._deadlines) if heap]
        return min(heads, default=None)

    def take_changes(self) -> list[Change]:
        """Return what changed since the last call, each store once."""
        changes = list(self._changes.values())
        self._changes.clear()
        return changes

    def _changing(self, store: Progress, change: Callable[[], None]) -> None:
        before = store.state
        self._count_busy(store, -1)
        change()
        self._count_busy(store, 1)
        if store.state is not before:
            counts = self.counts[store.wave]
            counts[before] -= 1
            counts[store.state] += 1
        known = self._changes.get(store.store)
        old = known.old if known else before
        self._changes[store.store] = Change(store.store, old, store.state, store.reason)
        self._queue(store)

    def _count_busy(self, store: Progress, by: int) -> None:
        if store.busy and store.state is not StoreState.LATE:  # what may never end takes nobody's place
            self.busy[store.busy] += by
            if store.busy is Kind.ACTIVATE:
                self.activating[store.wave] += by

    def _queue(self, store: Progress) -> None:
        kind = store.next
        if kind is None:
            return
        if store.due or store.state in CATCHING_UP:
            heapq.heappush(self._due, (store.due, store.store))
        else:
            self.enqueue(store)

    def enqueue(self, store: Progress) -> None:
        """Let a store that waits for nothing but its turn stand in the queue for what it has to do next."""
        kind = store.next
        if kind is Kind.STAGE:
            self.to_stage[store.wave].append(store.store)
        elif kind is Kind.ACTIVATE:
            self.to_activate[self.zone_of(store)].append(store.store)
        elif kind is Kind.VERIFY:
            self.to_verify.append(store.store)
        elif kind is Kind.BACK:
            self.to_bring_back.append(store.store)

    def zone_of(self, store: Progress) -> Zone:
        """Return what decides when this store's window is open."""
        return store.wave, self.plan.stores[store.store].timezone


def fresh_stores(plan: Plan) -> list[Progress]:
    """Return the stores of a rollout that has not begun."""
    known: Mapping[str, str] = plan.before
    return [
        Progress(name, number, before=known.get(name), serving=known.get(name))
        for number, wave in enumerate(plan.waves)
        for name in wave.stores
    ]
