from __future__ import annotations

import pytest

from ovms_edge.node.own_words import last_error

HEAD = "[2026-11-28 02:00:00.123][7][modelmanager][{}][servable_initializer.cpp:10] {}"


def line(level: str, text: str) -> str:
    return HEAD.format(level, text)


@pytest.mark.parametrize(("lines", "words"), [
    ([], ""),
    ([line("info", "Loading"), "  more"], ""),
    ([line("error", "Couldn't start"), line("info", "ending"), "more"], "Couldn't start"),
    (["[error] no module"], "no module"),
    ([line("error", "Error occurred in LLM executor: no memory."), line("error", "ends")], "no memory."),
    (
        [
            line("error", "Error during llm node initialization for models_path: /m exception: core.cpp:97:"),
            "Check 'size' failed:",
            "",
            "Incorrect weights in bin file!",
            line("error", "Loading of graph m failed: LLM_NODE_RESOURCE_STATE_INITIALIZATION_FAILED"),
            "no part of it",
        ],
        "core.cpp:97: Check 'size' failed: Incorrect weights in bin file!",
    ),
    ([line("error", "exception: " + "x" * 400)], "x" * 297 + "..."),
])  # fmt: skip
def test_last_error(lines: list[str], words: str) -> None:
    assert last_error(lines) == words
