from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils._node_tool import (
    ToolMissingError,
    as_result,
    command_line,
    parse_answer,
)

ROOT = Path(__file__).resolve().parents[2]


def test_a_document_is_returned_as_it_came() -> None:
    document = {"ok": True, "changed": True, "diff": {"before": {}, "after": {"release": "a@1"}}}
    assert parse_answer(0, json.dumps(document), "a log line") == document


def test_a_shell_that_finds_no_tool_means_it_is_missing() -> None:
    with pytest.raises(ToolMissingError):
        parse_answer(127, "", "sh: 1: /usr/local/bin/ovms-node: not found")


@pytest.mark.parametrize("stdout", ["", "Segmentation fault", "[]", "{}", '{"ok": "yes"}', '{"ok": true'])
def test_no_answer_is_a_failure_that_shows_what_came_instead(stdout: str) -> None:
    document = parse_answer(1, stdout, "sudo: a password is required\n")
    assert document["ok"] is False
    assert "sudo: a password is required" in document["reason"]
    assert "status 1" in document["reason"]


def test_only_the_end_of_a_long_output_is_shown() -> None:
    document = parse_answer(1, "", "\n".join(f"line {number}" for number in range(1000)))
    assert "line 999" in document["reason"]
    assert "line 9\n" not in document["reason"]


def test_a_refusal_fails_with_reason_and_remedy() -> None:
    result = as_result({"ok": False, "reason": "depot down", "remedy": "start it"})
    assert result["failed"] is True
    assert result["msg"] == "depot down; start it"
    assert result["changed"] is False


def test_a_failure_that_changed_something_says_so() -> None:
    assert as_result({"ok": False, "changed": True, "reason": "a", "remedy": "b"})["changed"] is True


def test_success_has_no_failed() -> None:
    assert "failed" not in as_result({"ok": True})


@pytest.mark.parametrize("run", ["rollout-17", "a b; echo $(id)"])
def test_the_run_of_the_controller_is_that_of_the_hosts(monkeypatch: pytest.MonkeyPatch, run: str) -> None:
    monkeypatch.setenv("OVMS_EDGE_RUN_ID", run)
    line = command_line(["sh", "-c", 'printf %s "$OVMS_EDGE_RUN_ID"'])
    done = subprocess.run(["sh", "-c", line], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert done.stdout == run


@pytest.mark.parametrize("run", [None, ""])
def test_a_host_finds_an_id_of_its_own_otherwise(monkeypatch: pytest.MonkeyPatch, run: str | None) -> None:
    monkeypatch.setenv("OVMS_EDGE_RUN_ID", run or "")
    if run is None:
        monkeypatch.delenv("OVMS_EDGE_RUN_ID")
    assert command_line(["ovms-node", "facts"]) == "ovms-node facts"


@pytest.mark.parametrize(("words", "said"), [
    (["ovms.edge.node_verify"], "ovms-node is not installed"),
    (["ovms.edge.host_files", "--check", "-a", '{"files": [{"path": "/run/a", "mode": "0644"}]}'], "/run/a"),
])  # fmt: skip
def test_it_works_where_the_host_is_the_controller_itself(words: list[str], said: str) -> None:
    command = [Path(sys.executable).with_name("ansible"), "localhost", "-c", "local", "-m", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said in done.stdout, done.stdout + done.stderr
