"""Streams and nodes: what OVMS and MediaPipe check of a graph before any model is loaded.

Sources: model_server v2025.4.1 src/mediapipe_internal/mediapipegraphdefinition.cpp (``createInputsInfo`` to
``setStreamTypes``); openvinotoolkit/mediapipe b2dccf07 mediapipe/framework/validated_graph_config.cc.
"""

from __future__ import annotations

from collections.abc import Iterator

from ovms_edge.finding import Finding
from ovms_edge.graph.checks.calculators import LLM_CALCULATOR_ENDING
from ovms_edge.graph.checks.executors import check_executors
from ovms_edge.graph.checks.report import noted, refused, warned
from ovms_edge.graph.checks.streams import last_name
from ovms_edge.graph.checks.tree import TreeGraph
from ovms_edge.graph.checks.wiring import check_wiring
from ovms_edge.graph.text.syntax import Entry
from ovms_edge.ovms import status
from ovms_edge.ovms.status import LoadCheck

# The only name that OVMS pushes a request into, and the tag that HttpLLMCalculator reads it from
# (src/http_frontend/http_graph_executor_impl.cpp, the same from v2024.4 to v2026.3).
REQUEST_STREAM = "input"

_KFS_INPUT, _KFS_OUTPUT = "REQUEST", "RESPONSE"
_STEP = status.NO_STREAM.step
_NO_KFS_OUTPUT = LoadCheck(
    "MEDIAPIPE_KFS_PASSTHROUGH_MISSING_OUTPUT_RESPONSE_TAG", _STEP, "KFS passthrough mode is misconfigured."
)
_NO_KFS_INPUT = LoadCheck(
    "MEDIAPIPE_KFS_PASSTHROUGH_MISSING_INPUT_REQUEST_TAG", _STEP, "KFS passthrough mode is misconfigured."
)
_TFLITE = LoadCheck(
    "NOT_IMPLEMENTED", _STEP, "There is no support for TfLiteTensor deserialization & serialization"
)


def check_structure(graph: TreeGraph, ovms_version: str) -> Iterator[Finding]:
    """Yield what OVMS ``ovms_version`` makes of the graph's streams and nodes."""
    yield from _names(graph, "input_stream", status.GRAPH_INPUT)
    yield from _names(graph, "output_stream", status.GRAPH_OUTPUT)
    yield from _packet_names(graph)
    inputs, outputs = graph.strings("input_stream"), graph.strings("output_stream")
    if inputs and outputs:
        yield from _tags(inputs, outputs)
        yield from _request_stream(inputs)
    else:
        yield _no_stream(graph, bool(inputs))
    yield from check_executors(graph)
    yield from _not_checked(graph)
    yield from check_wiring(graph, ovms_version)
    yield from _llm_nodes(graph)


def _names(graph: TreeGraph, field: str, check: LoadCheck) -> Iterator[Finding]:
    seen: set[str] = set()
    for entry in graph.strings(field):
        name = last_name(entry.text)
        if name in seen or not name:
            why = "has no name" if not name else f'is the second called "{name}"'
            yield refused(
                check,
                f'{field} "{entry.text}" {why}: "{check.log.format(entry.text)}"',
                "give each stream of the graph a name of its own",
                entry,
                path=field,
            )
        seen.add(name)


def _packet_names(graph: TreeGraph) -> Iterator[Finding]:
    for entry in graph.strings("input_side_packet"):
        if not last_name(entry.text):
            check = status.GRAPH_SIDE_PACKET
            message = f'a side packet has no name: "{check.log.format(entry.text)}"'
            yield refused(check, message, "name it, or remove it", entry, path="input_side_packet")


def _no_stream(graph: TreeGraph, has_input: bool) -> Finding:
    field, stream = (
        ("output_stream", "HTTP_RESPONSE_PAYLOAD:output")
        if has_input
        else ("input_stream", "HTTP_REQUEST_PAYLOAD:input")
    )
    return refused(
        status.NO_STREAM,
        f'the graph has no {field}: "{status.NO_STREAM.log.format("...")}"',
        f'add {field}: "{stream}" at the top, outside of node',
        graph.nodes[0].entry if graph.nodes else None,
        path=field,
    )


def _tags(inputs: tuple[Entry, ...], outputs: tuple[Entry, ...]) -> Iterator[Finding]:
    """Check the tags that OVMS reads as a kind of packet; it compares the beginning of the first part."""
    tflite = next((entry for entry in (*inputs, *outputs) if _tag(entry).startswith("TFLITE_TENSOR")), None)
    if tflite:
        yield refused(_TFLITE, _TFLITE.log, _use_llm_tags(), tflite)
        return
    kfs_input = next((entry for entry in inputs if _tag(entry).startswith(_KFS_INPUT)), None)
    kfs_output = next((entry for entry in outputs if _tag(entry).startswith(_KFS_OUTPUT)), None)
    if kfs_input and not kfs_output:
        message = f'input "{kfs_input.text}" passes whole KServe requests on, no output passes responses'
        yield refused(_NO_KFS_OUTPUT, message, _use_llm_tags(), kfs_input, path="input_stream")
    if kfs_output and not kfs_input:
        message = f'output "{kfs_output.text}" passes whole KServe responses on, no input passes requests'
        yield refused(_NO_KFS_INPUT, message, _use_llm_tags(), kfs_output, path="output_stream")


def _request_stream(inputs: tuple[Entry, ...]) -> Iterator[Finding]:
    if all(last_name(entry.text) != REQUEST_STREAM for entry in inputs):
        yield warned(
            "request_stream_name",
            f"no input_stream is called {REQUEST_STREAM}: it loads, and every request is answered 412, "
            "because OVMS pushes it into that name",
            f'write "HTTP_REQUEST_PAYLOAD:{REQUEST_STREAM}", in the node, too',
            inputs[0],
            path="input_stream",
        )


def _not_checked(graph: TreeGraph) -> Iterator[Finding]:
    for field in ("packet_factory", "packet_generator", "status_handler"):
        for entry in graph.message.named(field):
            yield noted(
                "not_checked",
                f"{field} is no part of serving a language model: whether this OVMS has it is not checked",
                "remove it, or start OVMS with the graph to know",
                entry,
                path=field,
            )


def _llm_nodes(graph: TreeGraph) -> Iterator[Finding]:
    llm_nodes = [
        (index, node)
        for index, node in enumerate(graph.nodes)
        if node.calculator.endswith(LLM_CALCULATOR_ENDING)
    ]
    names: set[str] = set()
    for index, node in llm_nodes:
        if not node.message.named("node_options"):
            yield refused(
                status.NO_OPTIONS,
                f'the node has no node_options: "{status.NO_OPTIONS.log.format("...")}"',
                "add node_options { [type.googleapis.com/mediapipe.LLMCalculatorOptions] { ... } }",
                node.entry,
                path="node.node_options",
                node=index,
            )
        if not node.name:
            message = f'the node has no name: "{status.NO_NAME.log.format("...")}"'
            yield refused(
                status.NO_NAME, message, 'add name: "LLMExecutor"', node.entry, path="node.name", node=index
            )
        elif node.name in names:
            yield refused(
                status.SAME_NAME,
                f'two nodes are called {node.name}: "{status.SAME_NAME.log.format(node.name, "...")}"',
                "give the second another name, or remove it",
                node.message.named("name")[0],
                path="node.name",
                node=index,
            )
        names.add(node.name)
    if not llm_nodes:
        yield warned(
            "no_llm_node",
            "no node has the calculator HttpLLMCalculator: no model is loaded, no chat is answered",
            "add a node with it, or render a graph with `ovms-edge graph render`",
            graph.nodes[0].entry if graph.nodes else None,
            path="node",
        )


def _tag(entry: Entry) -> str:
    return entry.text.partition(":")[0] if ":" in entry.text else ""


def _use_llm_tags() -> str:
    return "use the tags HTTP_REQUEST_PAYLOAD and HTTP_RESPONSE_PAYLOAD"
