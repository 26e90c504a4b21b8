"""The controller dies at each write of its journal: the next one ends the rollout as if nothing had been."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovms_edge.rollout.plan import Plan
from ovms_edge.rollout.simulation.fleet import SimFleet, SimStore, Temper
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

HOUR = 3600.0


def rough() -> tuple[Plan, SimFleet]:
    """Return a rollout in which everything happens: offline, failed, stuck and bad stores, a soak."""
    plan = plan_of(
        wave("canary", names(2), soak_seconds=600.0),
        wave("rest", names(6, 3), failed_limit=9, concurrency=2),
        failed_limit=9,
        open_for_seconds=6 * HOUR,
    )
    stores = {
        "s002": SimStore("s002", OLD, offline=((70.0, 3000.0),)),
        "s003": SimStore("s003", OLD, Temper.REFUSES),
        "s004": SimStore("s004", OLD, Temper.NO_SPACE),
        "s005": SimStore("s005", OLD, Temper.STUCK),
        "s006": SimStore("s006", OLD, offline=((0.0, 4 * HOUR),)),
    }
    return plan, fleet_of(plan, **stores)


def test_every_crash_point_resumes_to_the_same_end(tmp_path: Path) -> None:
    plan, fleet = rough()
    whole = Run(plan, fleet, tmp_path / "whole").start()
    whole.go()
    wanted = whole.states()
    assert sorted(set(wanted.values())) == ["failed", "late", "serving"]
    for after in (False, True):
        for place in range(1000):
            plan, fleet = rough()
            run = Run(plan, fleet, tmp_path / f"{after}-{place}").start()
            if not crashes(run, place, after):
                assert place > 20
                break
            run.go()
            assert run.states() == wanted, f"crash at {place}, after: {after}"
            assert run.serving() == whole.serving()
            assert all(len(store.moves) <= 1 for store in fleet.stores.values())


@pytest.mark.parametrize("verb", ["rollback", "abort", "pause"])
def test_a_command_is_obeyed_wherever_the_controller_died(tmp_path: Path, verb: str) -> None:
    for place in range(0, 60, 3):
        plan, fleet = rough()
        run = Run(plan, fleet, tmp_path / str(place)).start()
        if not crashes(run, place, after=False):
            break
        moved = set(run.told(Kind.ACTIVATE))
        run.tell(verb)
        run.go()
        assert set(run.told(Kind.ACTIVATE)) == moved, "nothing more is brought to any store"
        if verb == "rollback":
            assert NEW not in run.serving().values()


def crashes(run: Run, place: int, after: bool) -> bool:
    """Run an engine that dies at a commit; False if it came to its end before."""
    try:
        run.go(journal=CrashingJournal(run.path, place, after))
    except CrashError:
        return True
    return False
