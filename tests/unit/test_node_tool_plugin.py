from __future__ import annotations

import json

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils._node_tool import (
    ToolMissingError,
    as_result,
    parse_answer,
)


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
