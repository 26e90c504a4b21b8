"""What a detached staging shows, when, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils._transfer_progress import (
    Progress,
    duration_text,
    ending,
    file_diff,
    percent,
    plan_line,
    progress_line,
    rate_text,
)

RELEASE = "vlm@1.1.0"


def status(fetched: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "release": RELEASE,
        "state": "fetching",
        "fetched_bytes": fetched,
        "fetch_bytes": 1000,
        "bytes": 9,
        **changes,
    }


@pytest.mark.parametrize(("next_status", "seconds", "due"), [
    (status(50), 1, True),
    (status(49), 1, False),
    (status(49), 10, True),
    (status(0), 60, False),
    (status(0, state="paused"), 1, True),
])  # fmt: skip
def test_a_line_is_due_5_points_on_or_in_another_state_or_10_seconds_on(
    next_status: dict[str, Any], seconds: float, due: bool
) -> None:
    progress = Progress()
    assert progress.due(status(0), 0)
    assert progress.due(next_status, seconds) is due


@pytest.mark.parametrize(("document", "points"), [
    (status(455), 45),
    (status(2000), 100),
    (status(fetch_bytes=0, written_bytes=3), 33),
    (status(state="done", fetch_bytes=0, bytes=0), 100),
    (status(state="planning", fetch_bytes=None, bytes=None, fetched_bytes=None), 0),
])  # fmt: skip
def test_percent_is_of_what_is_fetched_else_of_what_is_written(document: dict[str, Any], points: int) -> None:
    assert percent(document) == points


def test_lines_of_several_stores_are_aligned() -> None:
    one = progress_line("a", 9, RELEASE, status(455, rate_now=1_250_000, seconds_left=80))
    two = progress_line("store-001", 9, RELEASE, status(1000, rate_now=None, seconds_left=None))
    assert one.split() == [
        "a",
        RELEASE,
        "45",
        "%",
        "of",
        "1000",
        "B",
        "10.0",
        "Mbit/s",
        "80",
        "s",
        "left",
        "fetching",
    ]
    assert one.index("fetching") == two.index("fetching")


def test_an_ended_transfer_is_the_document_of_its_stage() -> None:
    document = {"ok": True, "changed": True, "release": RELEASE}
    assert ending(status(state="done", result=document), RELEASE) == document


@pytest.mark.parametrize("state", ["failed", "gave_up", "interrupted"])
def test_a_transfer_cut_short_says_why_and_what_to_do(state: str) -> None:
    document = ending(status(state=state, reason="no route to depot", remedy="mend it"), RELEASE)
    assert (document["ok"], document["remedy"]) == (False, "mend it")
    assert document["reason"].endswith("no route to depot")


@pytest.mark.parametrize(
    "document", [{"state": "idle", "release": None}, status(state="done", release="vlm@1")]
)
def test_a_transfer_that_is_not_there_is_no_success(document: dict[str, Any]) -> None:
    assert ending(document, RELEASE)["ok"] is False


def test_a_plan_says_bytes_time_and_disk() -> None:
    plan = {
        "release": RELEASE,
        "changed": True,
        "fetch_bytes": 2 << 20,
        "bytes": 4 << 20,
        "seconds": 7300,
        "disk_bytes": 4 << 20,
        "free_bytes": 3 << 30,
    }
    assert plan_line("s", 2, plan) == (
        f"s   {RELEASE}  would fetch 2.0 MiB of 4.0 MiB, about 2 h 2 min; 4.0 MiB of disk, 3.0 GiB free"
    )


def test_the_diff_lists_each_file_and_how_it_comes() -> None:
    diff = file_diff(RELEASE, [{"path": "a.bin", "size": 2048, "how": "link", "fetch_bytes": 0}])
    assert diff["before"] == ""
    assert diff["after"].split() == ["a.bin", "2.0", "KiB", "link", "0", "B", "fetched"]


def test_units() -> None:
    assert [rate_text(125), rate_text(1.25e9)] == ["1.0 kbit/s", "10.0 Gbit/s"]
    assert [duration_text(s) for s in (99, 100, 6000)] == ["99 s", "2 min", "1 h 40 min"]
