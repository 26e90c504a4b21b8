"""What the events of ansible-playbook say of a store."""

from __future__ import annotations

from typing import Any

import pytest

from ovms_edge.rollout.answers import Run
from ovms_edge.rollout.transport import Kind, Order, Outcome, Result

NEW, OLD = "vlm@2", "vlm@1"


def event(name: str, store: str, action: str, **answer: Any) -> dict[str, Any]:
    return {"event": name, "event_data": {"host": store, "task_action": action, "res": answer}}


def heard(kind: Kind, *events: dict[str, Any], stores: tuple[str, ...] = ("s1",)) -> list[Result]:
    run = Run(Order(kind, stores, NEW), started=10.0)
    return [result for one in events if (result := run.heard(one, now=12.5))]


def test_an_activation_that_its_gate_let_pass() -> None:
    answer = {"ok": True, "release": NEW, "diff": {"before": {"release": OLD}}}
    (result,) = heard(Kind.ACTIVATE, event("runner_on_ok", "s1", "ovms.edge.release_activate", **answer))
    assert result == Result("s1", Kind.ACTIVATE, Outcome.OK, serving=NEW, before=OLD, seconds=2.5)


def test_a_gate_that_said_no_tells_what_serves() -> None:
    answer = {"ok": False, "reason": "the answer is blank", "remedy": "build it again", "serving": OLD}
    (result,) = heard(Kind.ACTIVATE, event("runner_on_failed", "s1", "ovms.edge.release_activate", **answer))
    assert (result.outcome, result.reason, result.serving) == (Outcome.FAILED, "the answer is blank", OLD)


def test_a_stage_is_done_when_what_runs_apart_has_ended() -> None:
    begun = event("runner_on_ok", "s1", "ovms.edge.release", detached=True)
    ended = event("runner_on_ok", "s1", "ovms.edge.release", release=NEW, fetch_bytes=7)
    (result,) = heard(Kind.STAGE, begun, ended)
    assert (result.outcome, result.fetch_bytes, result.serving) == (Outcome.OK, 7, None)


@pytest.mark.parametrize(
    ("name", "answer", "outcome"),
    [
        ("runner_on_unreachable", {"msg": "timed out"}, Outcome.UNREACHABLE),
        ("runner_on_failed", {"msg": "no such input", "failed": True}, Outcome.FAILED),
        ("runner_on_failed", {"reason": "another ovms-node works here", "busy": True}, Outcome.BUSY),
    ],
)
def test_any_task_may_be_the_one_that_does_not_work(
    name: str, answer: dict[str, Any], outcome: Outcome
) -> None:
    (result,) = heard(Kind.ACTIVATE, event(name, "s1", "ansible.builtin.fail", **answer))
    assert result.outcome is outcome


def test_only_the_task_of_the_order_says_that_all_is_well_and_only_once() -> None:
    other = event("runner_on_ok", "s1", "ovms.edge.node_facts")
    asked = event("runner_on_ok", "s1", "ovms.edge.node_verify", release=OLD)
    strange = event("runner_on_ok", "s9", "ovms.edge.node_verify", release=OLD)
    assert [result.serving for result in heard(Kind.VERIFY, other, asked, asked, strange)] == [OLD]


def test_of_a_store_that_a_run_said_nothing_of_nothing_is_known() -> None:
    run = Run(Order(Kind.ACTIVATE, ("s1", "s2"), NEW), started=0.0)
    run.heard(event("runner_on_ok", "s1", "ovms.edge.release_activate", release=NEW), now=1.0)
    (result,) = run.unheard("ansible-playbook ended with status 4")
    assert (result.store, result.outcome) == ("s2", Outcome.UNREACHABLE)
    assert "ended with status 4" in str(result.reason)
