"""Whatever dies at any step of a switch, the store ends in old or new: verified, alone, serving.

By default the steps at which the most is at stake, with the faults taking turns. OVMS_EDGE_ALL_FAULTS=1:
every fault at every step of both tiers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from itertools import cycle

import pytest

from ovms_edge.manifest import ReleaseRef
from tests.e2e import bad_models as models
from tests.e2e import fault_store
from tests.e2e.load import Load
from tests.e2e.stopped import Stopped, stop_at
from tests.e2e.switch_store import SwitchStore
from tests.e2e.two_releases import Two, expectation

pytestmark = pytest.mark.lab

STEPS = {
    "A": ("begun", "created", "started", "gated", "committed", "routed", "drained", "removed"),
    "B": (
        *("begun", "created", "held", "drained", "stopped", "started", "gated", "committed", "routed"),
        "removed",
    ),
    "back": ("failed", "candidate-removed", "old-started", "old-gated", "back-routed"),
}
BY_DEFAULT = {
    "A": ("committed", "started", "drained"),
    "B": ("created", "held", "stopped", "gated"),
    "back": ("candidate-removed", "old-started", "old-gated"),
}
RECOVERY_SECONDS = 120.0


def kill_node(stopped: Stopped) -> None:
    stopped.kill()


def kill_engine(stopped: Stopped) -> None:
    stopped.store.shell("kill -9 $(pidof dockerd)")
    stopped.go_on()


def kill_gateway(stopped: Stopped) -> None:
    # One by one: with the first of them others end, before it is their turn.
    stopped.store.shell("set -- $(pidof haproxy); test $# -gt 0 && for pid; do kill -9 $pid || true; done")
    stopped.go_on()


def kill_servers(stopped: Stopped) -> None:
    stopped.store.shell(
        "for id in $(docker ps -q -f name=ovms-vlm-); do "
        "kill -9 $(docker inspect -f '{{.State.Pid}}' $id); done"
    )
    stopped.go_on()


def restart_store(stopped: Stopped) -> None:
    """The power goes, so that nothing is told to end; then the store starts as it does at boot."""
    stopped.store.power_off()
    fault_store.lab("restart", stopped.store.name)


FAULTS: dict[str, Callable[[Stopped], None]] = {
    "node": kill_node,
    "engine": kill_engine,
    "gateway": kill_gateway,
    "servers": kill_servers,
    "store": restart_store,
}


@dataclass(frozen=True)
class Case:
    way: str  # A, B, or the way back
    tier: str
    step: str
    fault: str

    def __str__(self) -> str:
        return f"{self.way}-{self.tier}-{self.step}-{self.fault}"


def cases() -> list[Case]:
    if os.environ.get("OVMS_EDGE_ALL_FAULTS") == "1":
        tiers = {"A": "A", "B": "B", "back": "AB"}
        return [
            Case(way, tier, step, fault)
            for way, steps in STEPS.items()
            for tier in tiers[way]
            for step in steps
            for fault in FAULTS
        ]
    chosen = [(way, step) for way, steps in BY_DEFAULT.items() for step in steps]
    return [
        Case(way, "A" if way == "A" else "B", step, fault)
        for (way, step), fault in zip(chosen, cycle(FAULTS), strict=False)
    ]


@pytest.fixture(scope="module")
def wrong(two: Two, tmp_path_factory: pytest.TempPathFactory) -> ReleaseRef:
    """A release that loads and says what it should not."""
    other = models.other_words(37)
    ref = models.publish(
        tmp_path_factory.mktemp("wrong") / "release", after=other, **expectation(two.signatures[0])
    )
    two.store.stage(ref)
    return ref


@pytest.mark.parametrize("case", cases(), ids=str)
def test_store_ends_in_old_or_new(two: Two, wrong: ReleaseRef, case: Case) -> None:
    if two.store.state()["pending"]:  # a case before this one failed
        recover(two.store, by_itself=False)
    old = two.serving() if serves(two) else 0
    two.activate(old)
    new = wrong if case.way == "back" else two.refs[1 - old]
    words = ("activate", str(new), "--retry", "--server", "-")
    with load(two, case) as running:
        with closing(stop_at(two.store, case.step, *words, stdin=two.settings(tier=case.tier))) as stopped:
            FAULTS[case.fault](stopped)
            if case.fault not in ("node", "store"):
                stopped.end()
        recover(two.store, by_itself=case.fault == "store")
        if running:
            running.wait_for(1)
    assert two.serving() in may_serve(case, old)
    assert not running or running.report().faults == []


def serves(two: Two) -> bool:
    return two.store.active().release in map(str, two.refs)


def may_serve(case: Case, old: int) -> tuple[int, ...]:
    """Return which of the two may serve: what the last durable word says where only ``ovms-node`` died."""
    steps = STEPS[case.way]
    if case.way == "back":
        return (old,)
    committed = steps.index(case.step) >= steps.index("committed")
    if committed:
        return (1 - old,)
    return (old,) if case.fault in ("node", "store") else (old, 1 - old)


def load(two: Two, case: Case) -> AbstractContextManager[Load | None]:
    """Return a load where no request may fail: neither ``ovms-node`` nor the engine is in their way."""
    return Load(two.store.endpoint()) if case.fault in ("node", "engine") else nullcontext()


def recover(store: SwitchStore, by_itself: bool) -> None:
    """Wait until the store passes the gate: by its own timer, or by ``ovms-node tend``."""
    deadline, last = time.monotonic() + RECOVERY_SECONDS, "never asked"
    while time.monotonic() < deadline:
        if not by_itself:
            store.say("/usr/local/bin/ovms-node", "tend")
        last = store.say("/usr/local/bin/ovms-node", "verify", "--json")
        if last and json.loads(last)["ok"]:
            return
        time.sleep(0.5)
    raise AssertionError(f"{store.name} does not serve after {RECOVERY_SECONDS:.0f} s: {last}")
