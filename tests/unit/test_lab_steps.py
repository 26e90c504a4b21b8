"""Steps run when what they depend on is done, and a failure stops what has not begun."""

import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.fleet.console import Console
from lab.fleet.demo import Demo
from lab.fleet.settings import Settings
from lab.fleet.steps import Runner, Step, StepFailedError, last_line
from ovms_edge.errors import EdgeError


def run(steps: list[Step], logs: Path) -> str:
    output = io.StringIO()
    Runner(steps, logs, Console(output)).run()
    return output.getvalue()


def noting(order: list[str], name: str, worked: bool = True) -> Callable[[Path], bool]:
    def work(log: Path) -> bool:
        order.append(name)
        return worked

    return work


def test_a_step_waits_for_those_before_it(tmp_path: Path) -> None:
    order: list[str] = []
    steps = [
        Step("last", "last", ("first", "second"), noting(order, "last")),
        Step("second", "second", ("first",), noting(order, "second")),
        Step("first", "first", (), noting(order, "first")),
    ]
    run(steps, tmp_path)
    assert order == ["first", "second", "last"]


def test_independent_steps_run_side_by_side(tmp_path: Path) -> None:
    meeting = threading.Barrier(2, timeout=5)  # raises if one waits for the other to end

    def meet(log: Path) -> bool:
        meeting.wait()
        return True

    run([Step("a", "a", (), meet), Step("b", "b", (), meet)], tmp_path)


def test_what_was_current_is_told_apart_from_what_was_done(tmp_path: Path) -> None:
    said = run(
        [Step("a", "model", (), noting([], "a", worked=False)), Step("b", "export", (), noting([], "b"))],
        tmp_path,
    )
    assert "[ 1/2] model is up to date" in said
    assert "[ 2/2] export done in 0 s" in said


def test_a_failure_shows_the_log_and_stops_what_has_not_begun(tmp_path: Path) -> None:
    order: list[str] = []

    def fail(log: Path) -> bool:
        log.write_text("line one\nthe cause\n")
        raise EdgeError("tool failed", "mend it")

    output = io.StringIO()
    steps = [Step("a", "build", (), fail), Step("b", "next", ("a",), noting(order, "b"))]
    with pytest.raises(StepFailedError, match="build: tool failed; mend it"):
        Runner(steps, tmp_path, Console(output)).run()
    assert order == []
    assert "| the cause" in output.getvalue()


def test_a_mistake_of_ours_is_not_dressed_up_as_the_users(tmp_path: Path) -> None:
    def broken(log: Path) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run([Step("a", "a", (), broken)], tmp_path)


def test_the_last_line_of_a_log_is_one_that_says_something(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_text("TASK [install | Docker] *****\n\n****\n")
    assert last_line(log) == "TASK [install | Docker]"


def test_what_stores_need_is_made_without_any_store(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {})
    names = {step.name for step in Demo(settings).steps()}
    supply = Demo(settings, supply_only=True).steps()
    assert names - {step.name for step in supply} == {"stores", "site", "verify"}
    for step in supply:  # or it would wait for ever
        assert {step.name for step in supply}.issuperset(step.after)
