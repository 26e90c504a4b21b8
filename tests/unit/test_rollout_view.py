from __future__ import annotations

import io
import os
import re
from typing import Any

import pytest

from ovms_edge.rollout import view as view_module
from ovms_edge.rollout.groups import drifted, general, grouped
from ovms_edge.rollout.view import LiveView, PlainView, lines, live_view, summary
from tests.unit.rollout_documents import ID, NEW, OLD, changed, document, store

ESCAPE = "\x1b"


class Stream(io.StringIO):
    encoding = "utf-8"

    def __init__(self, terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__()
        self.terminal = terminal
        self.encoding = encoding  # type: ignore[misc]

    def isatty(self) -> bool:
        return self.terminal

    def taken(self) -> str:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


@pytest.fixture
def small() -> dict[str, Any]:
    return document(10)


def test_a_change_is_one_plain_line_and_is_never_said_again(small: dict[str, Any]) -> None:
    stream = Stream()
    show = PlainView(stream)
    show(small)
    (first,) = stream.taken().splitlines()
    assert first.startswith(f"08:25:39 {ID} running: ")
    assert "3 staged" in first
    show(small)
    assert stream.taken() == ""
    after = changed(small, "store-08", "activating")
    show(after)
    assert stream.taken() == "08:25:42 rest store-08 staged -> activating\n"
    after = changed(after, "store-08", "serving", activate_seconds=9.9)
    show(after)
    assert stream.taken() == "08:25:45 rest store-08 activating -> serving 9.9 s\n"
    show(after)
    assert stream.taken() == ""


def test_a_failure_has_its_reason_and_a_days_change_is_said(small: dict[str, Any]) -> None:
    stream = Stream()
    show = PlainView(stream)
    show(small)
    stream.taken()
    after = changed(small, "store-09", "failed", reason="the answer is empty", activate_seconds=71.0)
    after["history"][-1].update({"at": "2026-11-29T00:00:01Z", "from": "activating"})
    show(after)
    assert stream.taken().splitlines() == [
        "2026-11-29 UTC",
        "00:00:01 rest store-09 activating -> failed 1 m 11 s: the answer is empty",
    ]


def test_waves_the_rollout_and_commands_have_lines_too(small: dict[str, Any]) -> None:
    stream = Stream()
    show = PlainView(stream)
    show({**small, "history": []})
    stream.taken()
    show(small)
    said = stream.taken()
    assert "07:00:00 start by anna: 3 waves\n" in said
    assert "wave canary running -> soaking\n" in said


@pytest.mark.parametrize("shown", [summary, lambda one: "\n".join(lines(one, 100, False))])
def test_text_from_stores_cannot_steer_a_terminal(small: dict[str, Any], shown: Any) -> None:
    hostile = "\x1b[2J\x9b31m\rgone\n"
    store(small, "store-05").update(store=f"a{hostile}", reason=f"b{hostile}", remedy=f"c{hostile}")
    small["waves"][0]["name"] = f"d{hostile}"
    text = shown(small)
    assert "a?[2J?31m?gone?" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


def test_what_is_no_terminal_gets_no_escape_codes(small: dict[str, Any]) -> None:
    stream = Stream()
    with live_view(stream) as show:
        show(small)
        small["history"][-1]["reason"] = "\x1b[31mred"
        show(changed(small, "store-08", "failed", reason="\x1b[31mred\nline"))
    said = stream.getvalue()
    assert ESCAPE not in said
    assert "?[31mred?line" in said


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Stream:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(view_module.shutil, "get_terminal_size", lambda: os.terminal_size((80, 24)))
    return Stream(terminal=True)


def colours(text: str) -> list[str]:
    return re.findall(r"\x1b\[[0-9;]*m", text)


def test_a_terminal_gets_frames_in_place_each_of_which_shows_the_cursor_at_its_end(
    small: dict[str, Any], terminal: Stream
) -> None:
    with live_view(terminal) as show:
        show(small)
        first = terminal.taken()
        height = first.count("\n")
        show(changed(small, "store-08", "activating"))
        second = terminal.taken()
    assert colours(first)
    assert first.startswith("\x1b[?25l")
    assert second.startswith(f"\x1b[?25l\x1b[?7l\x1b[{height}A")
    for frame in (first, second):
        assert frame.endswith("\x1b[?7h\x1b[?25h")
        assert frame.count("\n") <= 23
        assert all(len(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", each)) < 80 for each in frame.splitlines())
    assert terminal.getvalue() == "", "leaving writes nothing: the last frame stays"


def test_a_frame_like_the_last_one_is_not_drawn_and_a_resized_terminal_is_cleared(
    small: dict[str, Any], terminal: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = LiveView(terminal, colour=False)
    show(small)
    terminal.taken()
    show(small)
    assert terminal.taken() == ""
    monkeypatch.setattr(view_module.shutil, "get_terminal_size", lambda: os.terminal_size((60, 24)))
    show(small)
    assert "\x1b[2J" in terminal.taken()


@pytest.mark.parametrize(("name", "value", "escapes"), [("NO_COLOR", "1", True), ("TERM", "dumb", False)])
def test_no_color_and_dumb_terminals_are_respected(
    small: dict[str, Any],
    terminal: Stream,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    escapes: bool,
) -> None:
    monkeypatch.setenv(name, value)
    with live_view(terminal) as show:
        show(small)
    assert not colours(terminal.getvalue())
    assert (ESCAPE in terminal.getvalue()) is escapes


def test_a_terminal_that_has_no_utf8_gets_what_it_has(small: dict[str, Any]) -> None:
    small["id"] = "größe"
    stream = Stream(encoding="ascii")
    with live_view(stream) as show:
        show(small)
    assert "gr??e" in stream.getvalue()


@pytest.mark.parametrize("height", [1, 4, 6, 10, 23, 60])
@pytest.mark.parametrize("width", [20, 60, 100])
def test_lines_fit_the_terminal(width: int, height: int) -> None:
    shown = lines(document(500), width, False, height)
    assert 0 < len(shown) <= height
    assert max(map(len, shown)) <= width


def test_of_many_waves_those_around_the_one_that_runs_are_shown() -> None:
    many = document(10)
    done, running = many["waves"][0], many["waves"][-1]
    names = [f"w{number:02}" for number in range(40)]
    many["waves"] = [{**(done if name < "w20" else running), "name": name} for name in names]
    text = "\n".join(lines(many, 100, False, 30))
    assert "19 waves before" in text
    assert "w19 " in text
    assert "w20 " in text
    assert "waves after" in text
    assert "w30" not in text


def test_colour_changes_no_character(small: dict[str, Any]) -> None:
    plain, coloured = lines(small, 80, False), lines(small, 80, True)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", each) for each in coloured] == plain


def test_summary_has_waves_states_rates_reasons_and_remedies(small: dict[str, Any]) -> None:
    text = summary(small)
    for said in (
        "5 of 10 stores serving",
        "1 h 30 m left at 2.0 stores/h",
        "budget  1 failed of 1 allowed, 0 late of 1 allowed",
        "first-tenth  done",
        "1 store failed: no space on /var/lib/ovms-edge: 9.1 GiB needed, 1.6 GiB free",
        "remedy: free space or lower releases_kept",
        "1 store unreachable: Failed to connect to the host via ssh",
        "1 store unsuitable",
        "store-06  rest",
    ):
        assert said in text
    assert "not serving what" not in text
    assert "store-0100" not in summary(document(1000)), "of a large fleet only those that need somebody"


def test_drift_is_what_serves_something_else_than_the_rollout_left(small: dict[str, Any]) -> None:
    store(small, "store-01")["serving"] = OLD
    store(small, "store-05")["serving"] = "by-hand@3"
    store(small, "store-08")["serving"] = "by-hand@3"  # staged: nothing is decided yet
    store(small, "store-02")["serving"] = None  # not known
    assert [row["store"] for row in drifted(small)] == ["store-01", "store-05"]
    text = summary(small)
    assert "2 stores not serving what this rollout left there" in text
    assert re.search(rf"store-01 +canary +{re.escape(OLD)} +{re.escape(NEW)}", text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"controller": None}, f"no engine runs: ovms-edge rollout resume {ID}"),
        (
            {"state": "paused", "reason": "3 stores failed, the budget is 2"},
            "paused: 3 stores failed, the bud",
        ),
        ({"state": "paused"}, f"rollout retry {ID}, resume {ID} --forgive, or rollback {ID}"),
        (
            {"state": "done", "ended": "2026-11-28T10:00:00Z", "controller": None},
            "ended 2026-11-28T10:00:00Z",
        ),
        ({"rates": {"stores_per_hour": None, "seconds_left": None}}, "1 h 25 m elapsed"),
    ],
)
def test_the_operator_is_told_what_to_do(changes: dict[str, Any], said: str) -> None:
    text = summary(document(10, **changes))
    assert said in text
    assert ("no engine" in text) is ("no engine" in said)


def test_waves_say_what_they_wait_for() -> None:
    waiting = document(10)
    waiting["waves"][0].update(state="soaking", soaked_seconds=60.0)
    waiting["waves"][1].update(state="held", waits_for="approval")
    waiting["waves"][2].update(waits_for="window until 2026-11-28T22:00Z")
    text = summary(waiting)
    assert "soaked 1 m of 30 m" in text
    assert f"waits for: ovms-edge rollout approve {ID} first-tenth" in text
    assert "waits for window until 2026-11-28T22:00Z" in text
    assert f"approve {ID} first-tenth" in "\n".join(lines(waiting, 120, False, 20))


def test_reasons_that_differ_in_numbers_are_one_group() -> None:
    two = document(10)
    for name, free in (("store-05", "1.6"), ("store-07", "3.25")):
        reason = f"no space for qwen2.5-vl@1.1.0 on {name}: 9.1 GiB needed, {free} GiB free"
        store(two, name).update(state="failed", reason=reason)
    failed = grouped(two)[0]
    assert failed.stores == ["store-05", "store-07"]
    assert failed.reason == "no space for qwen2.5-vl@1.1.0 on *: * GiB needed, * GiB free"


@pytest.mark.parametrize(
    ("said", "alike"),
    [
        ("port 22: timed out", "port *: timed out"),
        ("at 31% after 12.5s", "at *% after *s"),
        ("blob sha256:0123456789abcdef is damaged", "blob sha256:* is damaged"),
        ("connect to 10.214.3.17", "connect to *"),
        ("qwen2.5-vl on mtl-32, s-10 and s-1", "qwen2.5-vl on mtl-32, s-10 and *"),
    ],
)
def test_names_with_digits_stay_in_a_general_reason(said: str, alike: str) -> None:
    assert general(said, "s-1") == alike


def test_groups_of_a_large_fleet_are_few_and_the_failed_come_first() -> None:
    groups = grouped(document(5000))
    assert len(groups) < 12
    assert [group.state for group in groups][-1] == "unsuitable"
    assert groups[0].state == "failed"
    assert sum(len(group.stores) for group in groups) == 28 + 16 + 81 + 13
