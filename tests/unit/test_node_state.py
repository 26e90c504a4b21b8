from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.node.state import Deployment, Failure, Pending, State, load_state, record, save_state

DEPLOYMENT = Deployment(
    "vlm@1",
    "s",
    {"image": "i"},
    "spec",
    "1-spec",
    "2026-01-01T00:00:00Z",
    {"cache_size": 2},
    "a",
    ("CPU", "GPU"),
    "t",
)


@pytest.mark.parametrize(
    "state",
    [
        State(),
        State(active=DEPLOYMENT),
        State(active=DEPLOYMENT, previous=DEPLOYMENT, pending=Pending("vlm@2", "x", "2-x", "t", "b")),
        State(failed=(Failure("spec", "vlm@3", "answers wrongly", "t"),)),
    ],
)
def test_state_reads_back_as_it_was(tmp_path: Path, state: State) -> None:
    save_state(tmp_path / "state.json", state)
    assert load_state(tmp_path / "state.json") == state
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_no_file_is_no_state(tmp_path: Path) -> None:
    assert load_state(tmp_path / "state.json") == State()


@pytest.mark.parametrize(
    "text", ["", "{", "{}", '{"schema": 1}', '{"schema": 2, "active": {"a": 1}, "previous": null}']
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(EdgeError, match=r"state\.json is damaged"):
        load_state(tmp_path / "state.json")


def test_the_journal_grows_line_by_line(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    record(journal, "staged", release="vlm@1")
    record(journal, "activated", release="vlm@1")
    assert [json.loads(line)["event"] for line in journal.read_text().splitlines()] == ["staged", "activated"]


def test_a_failure_is_remembered_until_the_same_passes() -> None:
    state = State(active=DEPLOYMENT, pending=Pending("vlm@2", "x", "2-x", "t", "b"))
    failed = state.with_failure(Failure("x", "vlm@2", "first", "t1")).with_failure(
        Failure("x", "vlm@2", "second", "t2")
    )
    assert failed.pending is None
    assert failed.failed == (Failure("x", "vlm@2", "second", "t2"),)
    passed = failed.with_active(replace(DEPLOYMENT, spec="x"))
    assert (passed.failed, passed.previous) == ((), DEPLOYMENT)


def test_the_oldest_failures_are_forgotten() -> None:
    state = State()
    for number in range(30):
        state = state.with_failure(Failure(str(number), "vlm@2", "", ""))
    assert [failure.spec for failure in state.failed] == [str(number) for number in range(10, 30)]


def test_what_is_activated_again_keeps_its_previous() -> None:
    other = replace(DEPLOYMENT, spec="other")
    state = State(active=DEPLOYMENT, previous=other)
    assert state.with_active(replace(DEPLOYMENT, slot="b")).previous == other
