"""Findings with their place, made short to write."""

from __future__ import annotations

from collections.abc import Iterable

from ovms_edge.finding import Finding
from ovms_edge.graph.text.syntax import Entry
from ovms_edge.ovms.status import INITIALIZE, LoadCheck

# Warnings of a graph that loads and cannot answer
_NO_ANSWER = {
    "back_edge_of_nothing",
    "no_llm_node",
    "no_sync_set",
    "output_without_producer",
    "request_stream_name",
    "side_packet_name",
    "sync_set_aborts",
}


def unanswered(findings: Iterable[Finding]) -> int:
    """Return how many of the findings say that the graph, if it loads, answers no request."""
    return sum(finding.code in _NO_ANSWER for finding in findings)


def refused(
    check: LoadCheck, message: str, fix: str, at: Entry | None, *, path: str = "", node: int = 0
) -> Finding:
    """Return the finding that OVMS stops at ``check``, for the node of index ``node``."""
    line, column = _place(at)
    return Finding("error", check.code, message, fix, line, column, path, check.at_node(node))


def initialize_refused(text: str, fix: str, at: Entry, path: str) -> Finding:
    """Return the finding that MediaPipe says ``text`` and does not initialize the graph."""
    return refused(INITIALIZE, f'MediaPipe does not initialize the graph: "{text}"', fix, at, path=path)


def warned(code: str, message: str, fix: str, at: Entry | None, *, path: str = "") -> Finding:
    """Return the finding that it loads, and does not do what was meant."""
    line, column = _place(at)
    return Finding("warning", code, message, fix, line, column, path)


def noted(code: str, message: str, fix: str, at: Entry | None, *, path: str = "") -> Finding:
    """Return the finding of what has to be known."""
    line, column = _place(at)
    return Finding("note", code, message, fix, line, column, path)


def _place(at: Entry | None) -> tuple[int | None, int | None]:
    return (at.line, at.column) if at else (None, None)
