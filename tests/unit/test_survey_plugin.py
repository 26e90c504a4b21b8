from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils._survey import summary, surveyed

FACTS: dict[str, Any] = {"ansible_facts": {"ovms_node": {"active": {"release": "vlm@1.0.0"}}}}
STAGED: dict[str, Any] = {"ok": True, "changed": True, "fetch_bytes": 250, "seconds": 12.5}
NO_SPACE = {"reason": "no space on /var", "remedy": "free space there", "msg": "no space on /var; free..."}


def test_a_store_that_can_take_it_says_what_it_fetches_and_serves() -> None:
    assert surveyed(FACTS, STAGED, None) == {
        "reached": True,
        "suitable": True,
        "reason": None,
        "remedy": None,
        "fetch_bytes": 250,
        "seconds": 12.5,
        "serving": "vlm@1.0.0",
    }


def test_a_refusal_of_the_node_is_the_reason() -> None:
    said = surveyed(FACTS, STAGED, NO_SPACE)
    assert (said["reached"], said["suitable"]) == (True, False)
    assert (said["reason"], said["remedy"]) == ("no space on /var", "free space there")
    assert said["serving"] == "vlm@1.0.0"


def test_a_refusal_of_a_role_is_parted_into_reason_and_remedy() -> None:
    said = surveyed(
        FACTS, None, {"msg": "no Intel GPU found; it is off; enable it", "reason": "", "remedy": ""}
    )
    assert said["suitable"] is False
    assert (said["reason"], said["remedy"]) == ("no Intel GPU found; it is off", "enable it")


@pytest.mark.parametrize(
    "refusal",
    [
        {"reason": "another call is at it", "remedy": "wait", "busy": True},
        {"msg": "Timed out after 300 second(s).", "slow": True},
        {"msg": "Task failed: the plugin broke"},
    ],
)
def test_what_says_nothing_of_the_store_leaves_it_open(refusal: dict[str, Any]) -> None:
    said = surveyed(FACTS, None, refusal)
    assert (said["reached"], said["suitable"]) == (True, None)
    assert said["reason"]
    assert said["remedy"]
    assert "Task failed" not in said["reason"]


@pytest.mark.parametrize(
    ("facts", "staged"),
    [
        ({"unreachable": True, "msg": "Task failed: no route to host"}, None),
        (FACTS, {"unreachable": True, "msg": "no route to host"}),
    ],
)
def test_an_unreachable_store_is_neither_suitable_nor_unsuitable(facts: Any, staged: Any) -> None:
    said = surveyed(facts, staged, None)
    assert (said["reached"], said["suitable"], said["reason"]) == (False, None, "no route to host")


def test_a_store_without_the_tool_cannot_take_a_release() -> None:
    said = surveyed(FACTS, {"changed": True, "msg": "would follow the installation of ovms-node"}, None)
    assert said["suitable"] is False
    assert "prepare_hosts.yml" in said["remedy"]


def test_a_store_that_was_lost_on_the_way_was_not_reached() -> None:
    assert surveyed(None, None, None)["reached"] is False


def test_the_summary_counts_and_names_who_does_not() -> None:
    stores = {
        "a": surveyed(FACTS, STAGED, None),
        "b": surveyed(FACTS, None, NO_SPACE),
        "c": surveyed({"unreachable": True}, None, None),
        "d": surveyed(FACTS, None, {"msg": "Task failed: x"}),
    }
    assert summary(stores, "vlm@1.1.0") == [
        "b: no space on /var; free space there",
        "c: no answer from the host; check its link",
        "d: x; see the store's task result, and ask it again",
        "",
        "1 of 4 stores can take vlm@1.1.0; 1 cannot, 1 not reached, 1 not known",
    ]
