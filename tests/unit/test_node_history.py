from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ovms_edge.node import history
from ovms_edge.node.history import RESULTS, count_switches, keep_history, switch_history
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.state import record


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    return StatePaths(tmp_path)


@pytest.fixture
def small_journal(monkeypatch: pytest.MonkeyPatch) -> int:
    """The journal turns at this size, in bytes."""
    monkeypatch.setattr(history, "JOURNAL_BYTES", 500)
    return 500


def switch(paths: StatePaths, number: int, event: str = "activated") -> None:
    record(paths.journal, event, release=f"vlm@{number}")


def counts(paths: StatePaths) -> dict[str, int]:
    return {result: count for result, count in count_switches(paths).counts.items() if count}


def test_a_new_node_has_no_switches(paths: StatePaths) -> None:
    assert switch_history(paths) == {"counts": dict.fromkeys(RESULTS, 0), "last": []}
    keep_history(paths)
    assert switch_history(paths) == {"counts": dict.fromkeys(RESULTS, 0), "last": []}


def test_switches_are_counted_by_result_and_nothing_else_is(paths: StatePaths) -> None:
    for event in ("staged", "activating", "activated", "failed", "activated", "removed"):
        switch(paths, 1, event)
    assert counts(paths) == {"activated": 2, "failed": 1}


def test_the_last_ten_are_shown_newest_first_without_what_is_for_the_journal_alone(paths: StatePaths) -> None:
    for number in range(12):
        record(paths.journal, "failed", release=f"vlm@{number}", reason="late", spec="x" * 64)
    last = switch_history(paths)["last"]
    assert [entry["release"] for entry in last] == [f"vlm@{number}" for number in range(11, 1, -1)]
    assert set(last[0]) == {"time", "event", "run", "release", "reason"}


def test_a_switch_counts_once_however_often_the_counts_are_kept(paths: StatePaths) -> None:
    for number in range(5):
        switch(paths, number)
        keep_history(paths)
        keep_history(paths)
    assert counts(paths) == {"activated": 5}


def test_counts_stay_right_while_the_journal_turns(paths: StatePaths, small_journal: int) -> None:
    for number in range(100):
        switch(paths, number)
        keep_history(paths)
        assert counts(paths) == {"activated": number + 1}
        last = switch_history(paths)["last"]
        newest = range(number, max(number - len(last), -1), -1)
        assert [entry["release"] for entry in last] == [f"vlm@{one}" for one in newest]
    sizes = [path.stat().st_size for path in paths.root.glob("journal.jsonl*")]
    assert max(sizes) < 2 * small_journal
    assert len(sizes) <= 2


def test_a_turn_shows_at_least_what_the_older_half_has(paths: StatePaths, small_journal: int) -> None:
    while not paths.journal_before.exists():
        switch(paths, 1)
        keep_history(paths)
    in_older = len(paths.journal_before.read_text().splitlines())
    assert not paths.journal.exists()
    assert len(switch_history(paths)["last"]) == min(in_older, 10)


def test_a_line_that_came_while_the_journal_turned_counts(paths: StatePaths, small_journal: int) -> None:
    while not paths.journal_before.exists():
        switch(paths, 1)
        keep_history(paths)
    before = counts(paths)["activated"]
    record(paths.journal_before, "failed", release="vlm@2")  # who wrote it had opened it before
    switch(paths, 3)
    assert counts(paths) == {"activated": before + 1, "failed": 1}
    keep_history(paths)
    assert counts(paths) == {"activated": before + 1, "failed": 1}


def test_a_kill_between_count_and_turn_counts_nothing_twice(
    paths: StatePaths, small_journal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        switch(paths, number)

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", _only_of(paths.journal, killed))
        with pytest.raises(KeyboardInterrupt):
            keep_history(paths)
    switch(paths, 10)
    assert counts(paths) == {"activated": 11}
    keep_history(paths)
    assert counts(paths) == {"activated": 11}


def _only_of(path: Path, replacement: object) -> object:
    original = Path.rename

    def rename(self: Path, target: Path) -> Path:
        return replacement(self, target) if self == path else original(self, target)  # type: ignore[operator]

    return rename


def test_a_line_that_a_power_cut_tore_is_passed_over(paths: StatePaths) -> None:
    switch(paths, 1)
    with paths.journal.open("a") as stream:
        stream.write('{"time": "2026-01-01T00:00:00Z", "ev')
    assert counts(paths) == {"activated": 1}
    keep_history(paths)
    switch(paths, 2)  # is appended to the torn line
    switch(paths, 3)
    assert counts(paths) == {"activated": 2}
    assert [entry["release"] for entry in switch_history(paths)["last"]] == ["vlm@3", "vlm@1"]


def test_a_line_that_is_still_being_written_counts_once_it_is_whole(paths: StatePaths) -> None:
    switch(paths, 1)
    line = json.dumps({"time": "t", "event": "failed"})
    with paths.journal.open("a") as stream:
        stream.write(line[:10])
    keep_history(paths)
    with paths.journal.open("a") as stream:
        stream.write(line[10:] + "\n")
    assert counts(paths) == {"activated": 1, "failed": 1}


def test_a_state_directory_that_was_copied_keeps_its_counts(paths: StatePaths, tmp_path: Path) -> None:
    for number in range(5):
        switch(paths, number)
    keep_history(paths)
    copy = StatePaths(tmp_path / "copy")
    copy.root.mkdir()
    for path in (paths.journal, paths.switch_counts):
        shutil.copyfile(path, copy.root / path.name)
    switch(copy, 5)
    assert counts(copy) == {"activated": 6}


def test_a_journal_that_was_removed_leaves_the_counts(paths: StatePaths) -> None:
    switch(paths, 1)
    keep_history(paths)
    paths.journal.unlink()
    assert counts(paths) == {"activated": 1}
    switch(paths, 2)
    record(paths.journal, "failed", release="vlm@2")
    assert counts(paths) == {"activated": 2, "failed": 1}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"journal": "x", "offset": "y", "counts": {}}'])
def test_damaged_counts_are_named_and_made_anew(
    paths: StatePaths, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    switch(paths, 1)
    paths.switch_counts.write_text(text)
    assert counts(paths) == {"activated": 1}
    said = capsys.readouterr().err
    assert f"{paths.switch_counts} is damaged" in said
    assert "counted anew" in said
    keep_history(paths)
    assert json.loads(paths.switch_counts.read_text())["counts"]["activated"] == 1
