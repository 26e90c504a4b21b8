"""The journal and who may write to it: commands, a second controller, a full disk, a clock that jumps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.rollout.board import fresh_stores
from ovms_edge.rollout.command import Command
from ovms_edge.rollout.control import document_of, tell, verdict
from ovms_edge.rollout.controller import controller_of, only_controller
from ovms_edge.rollout.engine import Engine
from ovms_edge.rollout.journal import Journal
from ovms_edge.rollout.orphans import MARK, end_orphans
from ovms_edge.rollout.simulation.fleet import SimStore, Temper
from ovms_edge.rollout.states import RolloutState, WaveState
from tests.unit.rollout_fleet import NEW, OLD, Run, fleet_of, names, plan_of, wave

HOUR = 3600.0
_HOLD = """
import sys, time
from pathlib import Path
from ovms_edge.rollout.controller import only_controller
with only_controller(Path(sys.argv[1]), "other-1"):
    print("held", flush=True)
    time.sleep(60)
"""


def two_waves(**changes: Any) -> Any:
    return plan_of(wave("canary", names(2), soak_seconds=HOUR), wave("rest", names(3, 3)), **changes)


def test_a_second_controller_is_refused_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "rollouts.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(journal)], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        held = controller_of(journal)
        assert held
        assert (held["pid"], held["rollout"]) == (holder.pid, "other-1")
        with pytest.raises(EdgeError, match=f"process {holder.pid} .* runs rollout other-1"):
            only_controller(journal, "mine-1").__enter__()
        holder.kill()
    assert controller_of(journal) is None
    with only_controller(journal, "mine-1"):
        assert controller_of(journal)


def test_runs_of_a_controller_that_died_are_ended() -> None:
    environment = {**os.environ, MARK: "mine-1"}
    ignoring = [sys.executable, "-c", "import signal, time; signal.signal(1, signal.SIG_IGN); time.sleep(60)"]
    with (
        subprocess.Popen(ignoring, env=environment) as mine,
        subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: "mine-10"}) as other,
    ):
        assert end_orphans("mine-1") == 1
        assert mine.wait(timeout=10) < 0
        assert other.poll() is None
        other.kill()


def test_a_command_is_done_at_once_where_no_engine_runs(tmp_path: Path) -> None:
    run = Run(two_waves(), fleet_of(two_waves()), tmp_path / "journal").start()
    journal = Journal(run.path)
    assert tell(journal, run.plan.id, Command("pause", "me", reason="lunch")) == "paused"
    document = document_of(journal, None)
    assert (document["state"], document["reason"]) == ("paused", "lunch")
    assert verdict(document) == 1
    assert tell(journal, run.plan.id, Command("pause", "me")) == "nothing done: the rollout is paused"
    assert tell(journal, run.plan.id, Command("abort", "me")) == "aborted"
    assert tell(journal, run.plan.id, Command("resume", "me")) == "nothing done: the rollout is aborted"
    assert journal.find(None).ended


def test_a_full_disk_stops_the_engine_before_it_tells_what_it_cannot_write(tmp_path: Path) -> None:
    plan = two_waves()
    run = Run(plan, fleet_of(plan), tmp_path / "journal").start()
    full = Journal(run.path)
    (pages,) = full._db.execute("PRAGMA page_count").fetchone()
    full._db.execute(f"PRAGMA max_page_count = {pages + 1}")
    filler = "INSERT INTO history (rollout, at, old, new, reason) VALUES (?, '', '', '', ?)"
    with pytest.raises(EdgeError, match="full") as caught:
        run.go(journal=crammed(full, filler, plan.id))
    assert "free space" in caught.value.remedy
    told = sum(len(order.stores) for _, order in run.transports[-1].sent)
    ended = run.go()
    assert ended.course.state is RolloutState.DONE
    assert set(run.serving().values()) == {NEW}
    assert told <= len(plan.stores)


def crammed(journal: Journal, filler: str, rollout: str) -> Journal:
    """Return the journal with as much in it as there is room for."""
    for size in (1000, 100, 10, 1):
        try:
            while True:
                with journal.transaction():
                    journal._db.execute(filler, (rollout, "x" * size))
        except EdgeError:
            continue
    return journal


@pytest.mark.parametrize("jump", [-30 * 24 * HOUR, 30 * 24 * HOUR])
def test_a_clock_that_jumps_ends_no_soak_and_makes_nobody_late(tmp_path: Path, jump: float) -> None:
    plan = two_waves()
    run = Run(plan, fleet_of(plan), tmp_path / "journal").start()
    run.go(until=lambda engine: engine.course.waves[0].state is WaveState.SOAKING)
    began = run.clock.seconds()
    run.clock.jump = jump
    assert run.go().course.state is RolloutState.DONE
    assert run.clock.seconds() >= began + HOUR


def test_the_status_says_what_drifted_and_what_failed(tmp_path: Path) -> None:
    plan = two_waves(failed_limit=1, unsuitable={"s099": "7 GiB of memory"})
    run = Run(plan, fleet_of(plan, s001=SimStore("s001", OLD, Temper.REFUSES)), tmp_path / "journal").start()
    run.plan = plan
    run.tell("resume", forgive=True)
    run.go()
    run.tell("resume", forgive=True)
    run.go()
    run.fleet.stores["s004"].move("vlm@3", run.clock.seconds())
    run.tell("verify")
    run.go()
    journal = Journal(run.path)
    document = document_of(journal, run.plan.id)
    stores = {store["store"]: store for store in document["stores"]}
    assert document["state"] == "done"
    assert (stores["s004"]["serving"], stores["s004"]["expected"]) == ("vlm@3", NEW)
    assert (stores["s001"]["state"], stores["s001"]["serving"]) == ("failed", OLD)
    assert stores["s099"]["reason"] == "7 GiB of memory"
    assert document["waves"][0]["soaked_seconds"] >= HOUR
    assert verdict(document) == 1


def test_a_rollout_is_entered_once(tmp_path: Path) -> None:
    run = Run(two_waves(), fleet_of(two_waves()), tmp_path / "journal").start()
    journal = Journal(run.path)
    with pytest.raises(EdgeError, match="already"):
        journal.create(run.plan, "", fresh_stores(run.plan), run.clock.utc())


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"\0" * 4096])
def test_a_file_that_is_no_journal_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(EdgeError, match="journal"):
        Journal(path)
    assert path.read_bytes() == content


def test_engines_go_on_where_the_one_before_was(tmp_path: Path) -> None:
    plan = two_waves()
    run = Run(plan, fleet_of(plan), tmp_path / "journal").start()
    engine: Engine = run.go(until=lambda engine: engine.course.clock > 100)
    again = run.engine(Journal(run.path))
    assert again.course.clock == pytest.approx(engine.course.clock, abs=70)
