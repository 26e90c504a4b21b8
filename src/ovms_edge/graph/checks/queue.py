"""``# OVMS_GRAPH_QUEUE_MAX_SIZE: N``: a comment that OVMS reads from 2026.2 on.

Source: model_server src/mediapipe_internal/mediapipegraphdefinition.cpp (``resolveGraphQueueSize``) at the
tags v2026.2 and v2026.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ovms_edge.finding import Finding
from ovms_edge.graph.checks.calculators import LLM_CALCULATOR
from ovms_edge.graph.checks.tree import TreeGraph
from ovms_edge.ovms import status
from ovms_edge.ovms.kv_cache import release_of

_COMMENT = re.compile(r"^\s*#\s*OVMS_GRAPH_QUEUE_MAX_SIZE\s*:\s*(?P<value>\S+)\s*?$", re.MULTILINE)
_SINCE = (2026, 2)
_GUARDED_SINCE = (2026, 3)
_PACKET = "LLM_NODE_EXECUTION_CONTEXTS"


def check_queue(text: str, graph: TreeGraph, ovms_version: str) -> Iterator[Finding]:
    """Yield what OVMS makes of the comment: a value that is none, a queue that the graph is not made for."""
    match = _COMMENT.search(text)
    release = release_of(ovms_version)
    if match is None or release < _SINCE:
        return
    value = match["value"]
    line = text.count("\n", 0, match.start("value")) + 1
    column = match.start("value") - text.rfind("\n", 0, match.start("value"))
    if value != "AUTO" and not (re.fullmatch(r"\d{1,10}", value) and int(value) < 2**31):
        message = f'the comment is read: "{status.QUEUE_SIZE.log.format(value)}"'
        fix = "write AUTO or a whole number from 0, or remove the comment"
        check = status.QUEUE_SIZE
        yield Finding("error", check.code, message, fix, line, column, step=check.step)
    elif value != "0" and not _has_contexts(graph):
        what = "leaves the queue off" if release >= _GUARDED_SINCE else "may fail when a graph is used again"
        yield Finding(
            "warning",
            "queue_without_contexts",
            f"a graph queue needs the side packet {_PACKET}; without it OVMS {ovms_version} {what}",
            f'add input_side_packet: "{_PACKET}:llm_ctx" to the node, or remove the comment',
            line,
            column,
        )


def _has_contexts(graph: TreeGraph) -> bool:
    return all(
        any(_PACKET in packet.text for packet in node.strings("input_side_packet"))
        for node in graph.nodes
        if node.calculator == LLM_CALCULATOR
    )
