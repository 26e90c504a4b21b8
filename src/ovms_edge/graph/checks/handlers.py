"""Whether HttpLLMCalculator runs: on a request or on its own loop, so neither may wait for the other.

Source: openvinotoolkit/mediapipe b2dccf07 mediapipe/framework/calculator_node.cc and stream_handler/
sync_set_input_stream_handler.cc, whose failed checks abort the process.
"""

from __future__ import annotations

from collections.abc import Iterator

from ovms_edge.finding import Finding
from ovms_edge.graph.checks.calculators import HANDLERS, LLM_CALCULATOR, OUTPUT_HANDLERS, SYNC_SET_HANDLER
from ovms_edge.graph.checks.report import initialize_refused, warned
from ovms_edge.graph.checks.streams import Stream, tag_index
from ovms_edge.graph.checks.tree import SYNC_SET_OPTIONS, TreeNode
from ovms_edge.graph.text.syntax import Entry, Message


def check_handler(node: TreeNode, inputs: tuple[Stream, ...]) -> Iterator[Finding]:
    """Yield what the node's handler makes of its ``inputs``."""
    handlers = node.message.messages("input_stream_handler")
    entry = next(iter(node.message.named("input_stream_handler")), node.entry)
    name = next(iter(handlers[0].texts("input_stream_handler")), "") if handlers else ""
    path = "node.input_stream_handler"
    if name and name not in HANDLERS:
        text = f'"{name}" is not a registered input stream handler.'
        yield initialize_refused(text, f'write input_stream_handler: "{SYNC_SET_HANDLER}"', entry, path)
    elif node.calculator == LLM_CALCULATOR and name != SYNC_SET_HANDLER:
        yield warned(
            "no_sync_set",
            f"the input stream handler is {name or 'the default one'}: it loads, and no answer comes: "
            "the node waits for HTTP_REQUEST_PAYLOAD and LOOPBACK together",
            f"use {SYNC_SET_HANDLER} with sync_set {{ tag_index: 'LOOPBACK:0' }}",
            entry,
            path=path,
        )
    elif name == SYNC_SET_HANDLER:
        yield from _sync_sets(node, inputs, entry, path)


def check_output_handler(holder: Message, path: str) -> Iterator[Finding]:
    """Yield what is wrong with the output stream handler of a node, or with the graph's for all nodes."""
    for handler in holder.messages("output_stream_handler"):
        for entry in handler.named("output_stream_handler"):
            if entry.text not in OUTPUT_HANDLERS:
                text = f'"{entry.text}" is not a registered output stream handler.'
                yield initialize_refused(text, "remove output_stream_handler", entry, path)


def _sync_sets(node: TreeNode, inputs: tuple[Stream, ...], handler: Entry, path: str) -> Iterator[Finding]:
    present = {(stream.tag, stream.index) for stream in inputs}
    sets = [
        sync_set
        for message in node.message.messages("input_stream_handler")
        for options in message.messages("options")
        for extension in options.messages(SYNC_SET_OPTIONS)
        for sync_set in extension.messages("sync_set")
    ]
    used: set[tuple[str, int]] = set()
    for sync_set in sets:
        for entry in sync_set.named("tag_index"):
            edge = tag_index(entry.text)
            if edge is None or edge not in present or edge in used:
                why = "is in two sync sets" if edge in used else "is no input of the node"
                yield warned(
                    "sync_set_aborts",
                    f'sync_set "{entry.text}" {why}: it loads, and the first request ends the server',
                    "name LOOPBACK:0 in one sync_set",
                    entry,
                    path=path,
                )
            elif edge is not None:
                used.add(edge)
        if not sync_set.entries:
            yield warned(
                "sync_set_aborts",
                "a sync_set is empty: it loads, and the first request ends the server",
                "name LOOPBACK:0 in it",
                handler,
                path=path,
            )
    if node.calculator == LLM_CALCULATOR and not _apart(used, sets, present):
        yield warned(
            "no_sync_set",
            "no sync_set parts LOOPBACK from HTTP_REQUEST_PAYLOAD: it loads, and no answer comes",
            "add options { [mediapipe.SyncSetInputStreamHandlerOptions.ext] "
            "{ sync_set { tag_index: 'LOOPBACK:0' } } }",
            handler,
            path=path,
        )


def _apart(used: set[tuple[str, int]], sets: list[Message], present: set[tuple[str, int]]) -> bool:
    return bool(used) and (len(sets) > 1 or used != present)
