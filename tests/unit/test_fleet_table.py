from __future__ import annotations

from typing import Any

from ansible_collections.ovms.edge.plugins.plugin_utils._fleet_table import fleet_table, row_of

GOOD: dict[str, Any] = {
    "ok": True,
    "changed": False,
    "release": "tiny@1.0.0",
    "state": "AVAILABLE",
    "device": "GPU",
    "cache_size": 4,
    "first_token_seconds": 0.125,
    "total_seconds": 12.5,
    "restarts": 0,
}


def test_a_row_is_the_gates_answer_without_ansibles_own_keys() -> None:
    row = row_of("store-001", GOOD)
    assert row["store"] == "store-001"
    assert row["release"] == "tiny@1.0.0"
    assert "changed" not in row


def test_columns_are_aligned_and_numbers_stand_at_the_right() -> None:
    lines = fleet_table([row_of("store-001", GOOD), row_of("s2", {**GOOD, "total_seconds": 1.0})])
    assert lines[0].split()[:4] == ["store", "release", "state", "device"]
    assert lines[2].index("AVAILABLE") == lines[3].index("AVAILABLE") == lines[0].index("state")
    assert lines[2].index("12.50 s") + len("12.50 s") == lines[3].index("1.00 s") + len("1.00 s")
    assert "4 GiB" in lines[2]


def test_a_store_that_fails_is_marked_and_explained_below() -> None:
    failing = {**GOOD, "ok": False, "reason": "wrong answer", "remedy": "roll back"}
    lines = fleet_table([row_of("a", GOOD), row_of("b", failing)])
    assert "AVAILABLE FAILED" in lines[3]
    assert lines[-1] == "b: wrong answer; roll back"


def test_an_unreachable_store_is_named() -> None:
    row = row_of("c", {"unreachable": True, "msg": "timed out"})
    assert (row["ok"], row["state"], row["reason"]) == (False, "UNREACHABLE", "timed out")
    assert "c: timed out; check its link" in fleet_table([row])


def test_a_store_that_was_not_asked_is_named_with_why() -> None:
    row = row_of("d", None)
    assert row["ok"] is False
    assert "earlier in this run" in row["reason"]


def test_a_task_that_failed_without_a_document_is_a_failure() -> None:
    row = row_of("e", {"failed": True, "msg": "boom"})
    assert (row["ok"], row["reason"]) == (False, "boom")


def test_a_store_that_serves_what_is_not_planned_is_named_and_no_failure() -> None:
    row = row_of("g", GOOD, planned="tiny@1.1.0")
    assert (row["ok"], row["planned"]) == (True, "tiny@1.1.0")
    assert fleet_table([row])[-1].startswith("g: serves tiny@1.0.0, planned is tiny@1.1.0; ")


def test_nothing_is_said_of_plans_that_are_kept_or_unknown() -> None:
    for answer, planned in ((GOOD, "tiny@1.0.0"), (GOOD, None), (None, "tiny@1.0.0")):
        assert "planned" not in row_of("h", answer, planned)


def test_what_is_not_known_is_a_dash() -> None:
    cells = fleet_table([row_of("f", {"ok": False, "reason": "nothing active", "remedy": "activate"})])[
        2
    ].split()
    assert cells == ["f", "-", "FAILED", "-", "-", "-", "-", "-"]
