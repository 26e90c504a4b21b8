"""The engine over simulated stores: what may move, what counts, and how it ends."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ovms_edge.rollout.simulation.fleet import SimStore, Temper
from ovms_edge.rollout.states import RolloutState, StoreState, WaveState
from ovms_edge.rollout.transport import Kind
from tests.unit.rollout_fleet import NEW, OLD, Run, fleet_of, names, plan_of, state_of, wave

DAY = 86400.0


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "rollouts.sqlite"


def begin(journal: Path, plan: object, **stores: SimStore) -> Run:
    return Run(plan, fleet_of(plan, **stores), journal).start()  # type: ignore[arg-type]


CANARY, TEN, REST = names(2), names(4, 3), names(6, 7)


def plan(**changes: object) -> object:
    return plan_of(wave("canary", CANARY), wave("ten", TEN), wave("rest", REST), **changes)


def offline(name: str, *spans: tuple[float, float], **changes: object) -> SimStore:
    return SimStore(name, OLD, offline=spans, **changes)  # type: ignore[arg-type]


def test_all_stores_move_wave_by_wave(journal: Path) -> None:
    run = begin(journal, plan())
    assert run.go().course.state is RolloutState.DONE
    assert set(run.serving().values()) == {NEW}
    assert run.told(Kind.ACTIVATE) == [*CANARY, *TEN, *REST]
    assert [len(store.moves) for store in run.fleet.stores.values()] == [1] * 12


def test_staging_runs_ahead_everywhere_or_with_the_wave(journal: Path, tmp_path: Path) -> None:
    def before_first_move(run: Run) -> int:
        sent = [order for _, order in run.transports[0].sent]
        first = next(number for number, order in enumerate(sent) if order.kind is Kind.ACTIVATE)
        return sum(len(order.stores) for order in sent[:first] if order.kind is Kind.STAGE)

    ahead, late = begin(journal, plan()), begin(tmp_path / "second", plan(staging="wave"))
    ahead.go()
    late.go()
    assert before_first_move(ahead) == 10  # as many as are staged at once
    assert before_first_move(late) == len(CANARY)


def test_an_offline_wave_stops_nothing_and_catches_up_through_the_same_gate(journal: Path) -> None:
    away = {name: offline(name, (0.0, 2 * DAY)) for name in CANARY}
    away["s002"].temper = Temper.REFUSES
    run = begin(journal, plan(failed_limit=1), **away)
    engine = run.go(until=lambda engine: engine.course.waves[2].state is WaveState.DONE)
    assert {state_of(engine, name) for name in CANARY} == {StoreState.UNREACHABLE}
    assert Counter(run.serving().values()) == {NEW: 10, OLD: 2}
    ended = run.go()
    assert state_of(ended, "s001") is StoreState.SERVING
    assert state_of(ended, "s002") is StoreState.FAILED
    assert run.serving()["s002"] == OLD


def test_a_store_that_never_comes_back_ends_with_the_time_it_had(journal: Path) -> None:
    run = begin(journal, plan(), s012=offline("s012", (0.0, 1e9)))
    ended = run.go()
    assert ended.course.state is RolloutState.DONE
    assert state_of(ended, "s012") is StoreState.UNREACHABLE
    assert ended.course.reason == "1 store not reached in time"
    assert 14 * DAY <= run.clock.seconds() < 15 * DAY


def test_a_bad_release_stops_in_the_canary_wave(journal: Path) -> None:
    bad = {name: SimStore(name, OLD, Temper.REFUSES) for name in (*CANARY, *TEN, *REST)}
    run = begin(journal, plan(), **bad)
    ended = run.go()
    assert ended.course.state is RolloutState.PAUSED
    assert ended.course.reason == "2 stores failed, the budget of the rollout is 0"
    assert run.told(Kind.ACTIVATE) == CANARY
    assert set(run.serving().values()) == {OLD}


def test_a_breach_may_send_back_what_had_moved(journal: Path) -> None:
    run = begin(journal, plan(on_breach="rollback"), s008=SimStore("s008", OLD, Temper.REFUSES))
    ended = run.go()
    assert ended.course.state is RolloutState.ROLLED_BACK
    assert set(run.serving().values()) == {OLD}
    assert state_of(ended, "s008") is StoreState.FAILED


def test_a_rollback_reaches_stores_that_were_offline_when_they_return(journal: Path) -> None:
    run = begin(
        journal, plan(), s001=offline("s001", (3600.0, 2 * DAY)), s012=offline("s012", (0.0, 3 * DAY))
    )
    run.go(until=lambda engine: engine.course.waves[2].state is WaveState.DONE)
    run.clock.pass_to(4000.0)
    run.tell("rollback")
    ended = run.go()
    assert ended.course.state is RolloutState.ROLLED_BACK
    assert set(run.serving().values()) == {OLD}
    assert run.clock.seconds() > 2 * DAY
    assert "s012" not in run.told(Kind.BACK)  # nothing was begun there


def test_some_stores_go_back_and_the_rest_stays(journal: Path) -> None:
    run = begin(journal, plan())
    run.go()
    run.tell("rollback", stores=("s003", "s004"))
    ended = run.go()
    assert ended.course.state is RolloutState.PAUSED
    assert [name for name, release in run.serving().items() if release == OLD] == ["s003", "s004"]


def test_what_failed_may_be_retried_and_the_rollout_goes_on(journal: Path) -> None:
    run = begin(journal, plan(), s001=SimStore("s001", OLD, Temper.REFUSES))
    assert run.go().course.state is RolloutState.PAUSED
    run.tell("resume")
    assert run.go().course.state is RolloutState.PAUSED, "its budget is still exceeded"
    run.fleet.stores["s001"].temper = Temper.GOOD
    run.tell("retry")
    run.tell("resume")
    assert run.go().course.state is RolloutState.DONE
    assert set(run.serving().values()) == {NEW}
    assert [order.retry for _, order in run.transports[-1].sent if "s001" in order.stores] == [True]


def test_a_store_whose_clock_is_off_fails_to_stage_and_is_not_moved(journal: Path) -> None:
    run = begin(journal, plan(), s003=SimStore("s003", OLD, Temper.WRONG_CLOCK))
    ended = run.go()
    assert ended.course.state is RolloutState.PAUSED, "it counts as failed"
    assert (state_of(ended, "s003"), run.serving()["s003"]) == (StoreState.FAILED, OLD)
    assert "s003" not in run.told(Kind.ACTIVATE)
    assert "certificate" in str(ended.board.stores["s003"].reason)


def test_failures_may_be_forgiven(journal: Path) -> None:
    run = begin(journal, plan(), s001=SimStore("s001", OLD, Temper.REFUSES))
    run.go()
    run.tell("resume", forgive=True)
    assert run.go().course.state is RolloutState.DONE
    assert Counter(run.serving().values()) == {NEW: 11, OLD: 1}


def test_after_the_soak_the_wave_is_asked_again(journal: Path) -> None:
    waves = plan_of(wave("canary", CANARY, soak_seconds=1800.0), wave("rest", TEN))
    run = begin(journal, waves, s001=SimStore("s001", OLD, Temper.TURNS_BAD))
    ended = run.go()
    assert ended.course.state is RolloutState.PAUSED
    assert run.told(Kind.VERIFY) == CANARY
    assert not set(run.told(Kind.ACTIVATE)) & set(TEN)
    assert run.clock.seconds() > 1800.0


def test_a_wave_waits_for_its_approval(journal: Path) -> None:
    waves = plan_of(wave("canary", CANARY), wave("rest", TEN, approval=True))
    run = begin(journal, waves)
    engine = run.go(until=lambda engine: engine.course.waves[1].state is WaveState.HELD)
    assert engine.course.waves[1].state is WaveState.HELD
    assert run.told(Kind.ACTIVATE) == CANARY
    run.tell("approve", waves=("rest",))
    ended = run.go()
    assert ended.course.state is RolloutState.DONE
    assert ended.course.waves[1].approved == "operator"


def test_a_wave_may_have_to_serve_before_the_next_begins(journal: Path) -> None:
    waves = plan_of(wave("canary", CANARY, min_serving=1), wave("rest", TEN))
    away = {name: offline(name, (0.0, DAY)) for name in CANARY}
    run = begin(journal, waves, **away)
    assert run.go().course.state is RolloutState.DONE
    first_of_rest = next(
        at for at, order in run.transports[0].sent if order.stores[0] in TEN and order.kind is Kind.ACTIVATE
    )
    assert first_of_rest > DAY


def test_a_store_that_is_stuck_becomes_late_and_holds_nothing_up(journal: Path) -> None:
    run = begin(journal, plan(), s001=SimStore("s001", OLD, Temper.STUCK))
    ended = run.go()
    assert state_of(ended, "s001") is StoreState.LATE
    assert Counter(run.serving().values()) == {NEW: 11, OLD: 1}


def test_a_store_that_is_stuck_when_it_comes_back_takes_nobody_s_place(journal: Path) -> None:
    waves = plan_of(wave("all", names(6), concurrency=1))
    away = ((30.0, 70.0),)
    run = begin(
        journal,
        waves,
        s005=SimStore("s005", OLD, stage_seconds=60.0, offline=away),
        s006=SimStore("s006", OLD, Temper.STUCK, stage_seconds=5.0, offline=away),
        **{name: SimStore(name, OLD, stage_seconds=5.0, activate_seconds=5.0) for name in names(4)},
    )
    ended = run.go()
    assert state_of(ended, "s006") is StoreState.LATE
    assert state_of(ended, "s005") is StoreState.SERVING


def test_too_many_late_stores_are_a_breach(journal: Path) -> None:
    stuck = {name: SimStore(name, OLD, Temper.STUCK) for name in CANARY}
    run = begin(journal, plan(late_limit=1), **stuck)
    ended = run.go()
    assert (ended.course.state, ended.course.reason) == (
        RolloutState.PAUSED,
        "2 stores late, the budget of the rollout is 1",
    )


def test_a_slow_stage_ahead_of_its_wave_is_not_late(journal: Path) -> None:
    waves = plan_of(wave("canary", CANARY, soak_seconds=6 * 3600.0), wave("rest", TEN), late_limit=0)
    run = begin(journal, waves, s003=SimStore("s003", OLD, stage_seconds=9 * 3600.0))
    assert run.go().course.state is RolloutState.DONE


def test_a_store_that_was_moved_by_hand_is_understood(journal: Path) -> None:
    run = begin(journal, plan(), s012=SimStore("s012", NEW, staged={NEW}))
    ended = run.go()
    assert state_of(ended, "s012") is StoreState.SERVING
    assert run.fleet.stores["s012"].moves == []


def test_abort_ends_it_where_it_is(journal: Path) -> None:
    run = begin(journal, plan())
    run.go(until=lambda engine: engine.course.waves[0].state is WaveState.DONE)
    run.tell("abort")
    ended = run.go()
    assert ended.course.state is RolloutState.ABORTED
    assert Counter(run.serving().values())[NEW] >= len(CANARY)
    assert not set(run.told(Kind.ACTIVATE)) & set(REST)
