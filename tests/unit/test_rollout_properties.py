"""Rollouts over fleets of every kind: the rules hold at each step (``Watched``) and at the end."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ovms_edge.rollout.plan import Plan
from ovms_edge.rollout.simulation.fleet import SimStore, Temper
from ovms_edge.rollout.states import RolloutState, StoreState
from ovms_edge.rollout.transport import Kind
from tests.unit.rollout_fleet import (
    NEW,
    OLD,
    CrashError,
    CrashingJournal,
    Run,
    fleet_of,
    names,
    plan_of,
    wave,
)

# By default the same ones each time; OVMS_EDGE_ROLLOUTS=5000 looks at so many others.
EXAMPLES = int(os.environ.get("OVMS_EDGE_ROLLOUTS", "150"))
DAY = 86400.0
FINAL = {"serving", "failed", "unreachable", "late", "rolled_back"}


@st.composite
def rollouts(draw: st.DrawFn) -> tuple[Plan, dict[str, SimStore]]:
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    waves, first = [], 1
    for number, size in enumerate(sizes):
        waves.append(
            wave(
                f"w{number}",
                names(size, first),
                soak_seconds=draw(st.sampled_from([0.0, 900.0])),
                concurrency=draw(st.integers(1, 4)),
                failed_limit=draw(st.integers(0, 3)),
                late_limit=draw(st.integers(0, 3)),
            )
        )
        first += size
    plan = plan_of(
        *waves,
        staging=draw(st.sampled_from(["ahead", "wave"])),
        on_breach=draw(st.sampled_from(["pause", "rollback"])),
        failed_limit=draw(st.integers(0, 4)),
        late_limit=draw(st.integers(0, 4)),
        open_for_seconds=2 * DAY,
    )
    stores = {name: draw(sim_stores(name)) for name in plan.stores}
    return plan, stores


@st.composite
def sim_stores(draw: st.DrawFn, name: str) -> SimStore:
    temper = draw(st.sampled_from([Temper.GOOD] * 8 + list(Temper)))
    begin = draw(st.sampled_from([0.0, 30.0, 65.0, 75.0, 2000.0]))
    length = draw(st.sampled_from([0.0, 0.0, 0.0, 40.0, 5000.0, DAY, 30 * DAY]))
    return SimStore(
        name,
        OLD,
        temper,
        stage_seconds=draw(st.sampled_from([5.0, 60.0, 20000.0])),
        activate_seconds=draw(st.sampled_from([5.0, 20.0])),
        offline=((begin, begin + length),) if length else (),
    )


@settings(
    max_examples=EXAMPLES,
    derandomize="OVMS_EDGE_ROLLOUTS" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(rollouts(), st.integers(0, 40), st.booleans())
def test_no_rollout_goes_beyond_its_wave_or_its_budget(
    planned: tuple[Plan, dict[str, SimStore]], place: int, after: bool
) -> None:
    plan, stores = planned
    with tempfile.TemporaryDirectory() as directory:
        run = Run(plan, fleet_of(plan, **stores), Path(directory) / "journal").start()
        try:
            run.go(journal=CrashingJournal(run.path, place, after))
        except CrashError:
            run.go()
        ended = run.go()  # of one that has ended, nothing comes
        states, course = run.states(), ended.course
    assert set(states) == set(plan.stores), "no store is lost"
    for name, store in run.fleet.stores.items():
        assert len([release for _, release in store.moves if release == NEW]) <= 1, "none is moved twice"
        if states[name] == StoreState.SERVING.value:
            assert store.serving == NEW
        if states[name] == StoreState.FAILED.value:
            assert store.temper not in (Temper.GOOD, Temper.STUCK), "offline or stuck is not failed"
    if course.state is RolloutState.DONE:
        assert set(states.values()) <= FINAL, "none is skipped"
    if course.state is RolloutState.ROLLED_BACK:
        left = {name for name, release in run.serving().items() if release == NEW}
        assert {states[name] for name in left} <= {StoreState.ROLLING_BACK.value}
        assert not any(run.fleet.stores[name].online(run.clock.seconds()) for name in left)
        assert StoreState.SERVING.value not in states.values()
    assert course.state is not RolloutState.RUNNING
    moved = {name for name, store in run.fleet.stores.items() if store.moves}
    assert moved <= set(run.told(Kind.ACTIVATE)), "nothing moves that was not told"
