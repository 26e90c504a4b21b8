"""Wherever an activation was cut off, the next call ends with one container that passed the gate, served."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovms_edge.errors import EdgeError
from ovms_edge.node.slots import SLOTS, Slot, other_slot
from ovms_edge.node.state import Deployment, Pending, State
from ovms_edge.node.switching import (
    Found,
    Seen,
    SettleStep,
    Way,
    choose_tier,
    choose_way,
    seen,
    settle_steps,
)
from ovms_edge.ovms.memory import Tier

OLD, NEW, FOREIGN = "old", "new", "foreign"
REMOVE, SERVE, RETIRE = SettleStep.REMOVE_CANDIDATE, SettleStep.SERVE_ACTIVE, SettleStep.RETIRE


def deployment(spec: str, slot: Slot) -> Deployment:
    return Deployment("vlm@1", "s", {}, spec, f"1-{spec}", "", {}, slot)


def container(spec: str, status: str = "running", vouched: bool = True) -> Seen:
    return Seen(spec, "vlm@1", status, vouched)


BEFORE = State(active=deployment(OLD, "a"))
MIDWAY = State(active=deployment(OLD, "a"), pending=Pending("vlm@2", NEW, "2-new", "", "b"))
COMMITTED = State(active=deployment(NEW, "b"), previous=deployment(OLD, "a"))
FIRST = State(pending=Pending("vlm@2", NEW, "2-new", "", "a"))
CANDIDATE = container(NEW, vouched=False)


@pytest.mark.parametrize(
    ("state", "a", "b", "route", "steps"),
    [
        (BEFORE, container(OLD), None, "a", ()),
        (MIDWAY, container(OLD), None, "a", ()),  # cut off before the new one was made
        (MIDWAY, container(OLD), CANDIDATE, "a", (REMOVE,)),
        (MIDWAY, container(OLD), CANDIDATE, "hold", (REMOVE, SERVE)),
        (MIDWAY, container(OLD, "exited"), CANDIDATE, "hold", (REMOVE, SERVE)),
        (COMMITTED, container(OLD), CANDIDATE, "a", (SERVE, RETIRE)),  # it may still be answering
        (COMMITTED, container(OLD), container(NEW), "b", (RETIRE,)),
        (COMMITTED, container(OLD, "exited"), CANDIDATE, "hold", (RETIRE, SERVE)),  # memory for one
        (COMMITTED, None, container(NEW), "b", ()),
        (BEFORE, container(OLD), None, "hold", (SERVE,)),  # the host has just started
        (BEFORE, container(OLD, "exited"), None, "a", (SERVE,)),
        (BEFORE, container(OLD, vouched=False), None, "a", (SERVE,)),
        (FIRST, CANDIDATE, None, "hold", (REMOVE,)),
        (FIRST, None, None, "hold", ()),
        (COMMITTED, container(OLD), None, "a", ()),  # the new one was removed by hand
        (State(), container(FOREIGN), None, "a", ()),  # state.json was lost: what is there may serve
    ],
)
def test_an_interrupted_switch_is_settled(
    state: State, a: Seen | None, b: Seen | None, route: str, steps: tuple[SettleStep, ...]
) -> None:
    assert settle_steps(state, Found({"a": a, "b": b}, route)) == steps


seens = st.none() | st.builds(
    container,
    st.sampled_from([OLD, NEW, FOREIGN]),
    st.sampled_from(["running", "exited", "created"]),
    st.booleans(),
)


@given(
    state=st.sampled_from([State(), BEFORE, MIDWAY, COMMITTED, FIRST]),
    a=seens,
    b=seens,
    route=st.sampled_from(["a", "b", "hold"]),
)
def test_settling_ends_with_the_gated_container_alone_and_routed(
    state: State, a: Seen | None, b: Seen | None, route: str
) -> None:
    containers: dict[Slot, Seen | None] = {"a": a, "b": b}
    active = state.active
    gated = active is not None and Found(containers, route).holds(active)
    for step in settle_steps(state, Found(containers, route)):
        if step is REMOVE:
            assert state.pending
            assert not gated or state.pending.slot != (active and active.slot)
            containers[state.pending.slot] = None
        else:
            assert active
            if step is RETIRE:
                containers[other_slot(active.slot)] = None
            else:
                containers[active.slot] = container(active.spec)
                route = active.slot
    if gated:
        assert active
        assert containers == {active.slot: container(active.spec), other_slot(active.slot): None}
        assert route == active.slot
    assert settle_steps(replace(state, pending=None), Found(containers, route)) == ()


@pytest.mark.parametrize(
    ("state", "a", "b", "route", "slot"),
    [
        (BEFORE, container(OLD), None, "hold", "a"),
        (BEFORE, None, None, "a", None),
        (State(), container(FOREIGN), container(OLD), "b", "b"),
        (State(), container(FOREIGN, "exited"), container(OLD), "hold", "b"),
        (State(), container(FOREIGN, "exited"), None, "hold", "a"),
        (FIRST, CANDIDATE, None, "a", None),
        (COMMITTED, container(OLD), None, "a", "a"),
    ],
)
def test_what_is_replaced_is_what_serves(
    state: State, a: Seen | None, b: Seen | None, route: str, slot: Slot | None
) -> None:
    assert Found({"a": a, "b": b}, route).serving_slot(state) == slot


@pytest.mark.parametrize(
    ("state", "current", "available", "way"),
    [
        (BEFORE, container(OLD), True, Way.KEEP),
        (BEFORE, container(OLD), False, Way.REPAIR),
        (BEFORE, container(OLD, "exited"), False, Way.REPAIR),
        (BEFORE, None, False, Way.SWITCH),
        (BEFORE, container(NEW), True, Way.SWITCH),
        (State(), container(OLD), True, Way.REPAIR),  # serves, but no gate is on record
    ],
)
def test_the_way_depends_on_what_is_there(
    state: State, current: Seen | None, available: bool, way: Way
) -> None:
    assert choose_way(state, current, OLD, available) is way


def test_a_server_whose_files_are_not_the_release_s_is_repaired() -> None:
    assert choose_way(BEFORE, container(OLD), OLD, available=True, whole=False) is Way.REPAIR


@pytest.mark.parametrize(
    ("planned", "wanted", "available", "serves", "tier"),
    [
        ("A", None, 10, True, "A"),
        ("A", None, 9, True, "B"),  # what else runs here leaves too little
        ("B", None, 10, True, "B"),
        ("A", "B", 10, True, "B"),
        ("A", "A", 9, True, "A"),
        ("A", None, 10, False, "B"),  # nothing serves that could go on
    ],
)
def test_the_tier_is_by_plan_by_what_is_free_now_and_by_word(
    planned: Tier, wanted: Tier | None, available: int, serves: bool, tier: Tier
) -> None:
    assert choose_tier(planned, wanted, 10, available, serves) == tier


def test_a_container_of_somebody_else_is_never_touched() -> None:
    inspected = {"Config": {"Labels": {}}, "State": {"Status": "running"}}
    with pytest.raises(EdgeError, match="did not make"):
        seen(inspected, "ovms-vlm-a")


@pytest.mark.parametrize(("policy", "vouched"), [("always", True), ("no", False)])
def test_ours_is_read(policy: str, vouched: bool) -> None:
    inspected = {
        "Config": {"Labels": {"ovms-edge.spec": "abc", "ovms-edge.release": "vlm@1"}},
        "State": {"Status": "running"},
        "HostConfig": {"RestartPolicy": {"Name": policy}},
    }
    assert seen(inspected, "ovms-vlm-a") == Seen("abc", "vlm@1", "running", vouched)
    assert seen(None, "ovms-vlm-a") is None


def test_there_are_two_slots() -> None:
    assert [other_slot(slot) for slot in SLOTS] == ["b", "a"]
