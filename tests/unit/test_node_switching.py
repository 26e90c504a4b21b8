"""Wherever an activation was cut off, the next one ends with one container that passed the gate."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovms_edge.errors import EdgeError
from ovms_edge.node.state import Deployment, Pending, State
from ovms_edge.node.switching import Seen, Step, Way, choose_way, seen, settle_steps

OLD, NEW, FOREIGN = "old", "new", "foreign"


def deployment(spec: str) -> Deployment:
    return Deployment("vlm@1", "s", {}, spec, f"1-{spec}", "", {})


def container(spec: str, status: str = "running") -> Seen:
    return Seen(spec, "vlm@1", status)


BEFORE = State(active=deployment(OLD))
MIDWAY = State(active=deployment(OLD), pending=Pending("vlm@2", NEW, "2-new", ""))
COMMITTED = State(active=deployment(NEW), previous=deployment(OLD))
FIRST = State(pending=Pending("vlm@2", NEW, "2-new", ""))


@pytest.mark.parametrize(
    ("state", "current", "aside", "steps"),
    [
        (BEFORE, container(OLD), None, ()),
        (MIDWAY, container(OLD), None, ()),  # cut off before the first rename
        (MIDWAY, None, container(OLD), (Step.RESTORE_ASIDE,)),
        (MIDWAY, container(NEW), container(OLD), (Step.REMOVE_CURRENT, Step.RESTORE_ASIDE)),
        (COMMITTED, container(NEW), container(OLD), (Step.REMOVE_ASIDE,)),
        (COMMITTED, container(NEW), None, ()),
        (FIRST, container(NEW), None, (Step.REMOVE_CURRENT,)),
        (FIRST, None, None, ()),
        (COMMITTED, None, container(OLD), (Step.RESTORE_ASIDE,)),  # the new one was removed by hand
        (State(), container(FOREIGN), None, ()),  # state.json was lost: what is there may serve
    ],
)
def test_an_interrupted_switch_is_settled(
    state: State, current: Seen | None, aside: Seen | None, steps: tuple[Step, ...]
) -> None:
    assert settle_steps(state, current, aside) == steps


seens = st.none() | st.builds(
    container, st.sampled_from([OLD, NEW, FOREIGN]), st.sampled_from(["running", "exited", "created"])
)


@given(state=st.sampled_from([State(), BEFORE, MIDWAY, COMMITTED, FIRST]), current=seens, aside=seens)
def test_settling_always_ends_with_one_container_and_never_drops_a_gated_one(
    state: State, current: Seen | None, aside: Seen | None
) -> None:
    gated = state.active.spec if state.active else None
    had_gated = any(entry.spec == gated for entry in (current, aside) if entry)
    for step in settle_steps(state, current, aside):
        if step is Step.REMOVE_CURRENT:
            current = None
        elif step is Step.REMOVE_ASIDE:
            aside = None
        else:
            assert current is None
            current, aside = aside, None
    assert aside is None
    assert not had_gated or (current is not None and current.spec == gated)
    assert settle_steps(replace(state, pending=None), current, aside) == ()


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


def test_a_container_of_somebody_else_is_never_touched() -> None:
    inspected = {"Config": {"Labels": {}}, "State": {"Status": "running"}}
    with pytest.raises(EdgeError, match="did not make"):
        seen(inspected, "ovms-vlm")


def test_ours_is_read_with_its_ports() -> None:
    inspected = {
        "Config": {"Labels": {"ovms-edge.spec": "abc", "ovms-edge.release": "vlm@1"}},
        "State": {"Status": "running"},
        "HostConfig": {
            "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8002"}], "9/tcp": None}
        },
    }
    assert seen(inspected, "ovms-vlm") == Seen("abc", "vlm@1", "running", (8002,))
    assert seen(None, "ovms-vlm") is None
