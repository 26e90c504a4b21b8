"""Whether MediaPipe initializes the graph: every node gets what it wants, and the loop is closed.

Source: CalculatorGraph::Initialize of openvinotoolkit/mediapipe b2dccf07, mediapipe/framework/
validated_graph_config.cc, packet_type.cc and calculator_node.cc. It does not look at a graph's output that
no node produces: that fails at each request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ovms_edge.finding import Finding
from ovms_edge.graph.checks.calculators import (
    LLM_CALCULATOR,
    OTHER_CALCULATORS,
    Contract,
    llm_contract,
)
from ovms_edge.graph.checks.handlers import check_handler, check_output_handler
from ovms_edge.graph.checks.report import initialize_refused, noted, warned
from ovms_edge.graph.checks.streams import Stream, StreamFault, last_name, streams, tag_index
from ovms_edge.graph.checks.tree import TreeGraph, TreeNode
from ovms_edge.graph.text.syntax import Entry

_LOOP_FIX = "add input_stream_info { tag_index: 'LOOPBACK:0' back_edge: true } to the node"


@dataclass(frozen=True)
class _Wired:
    """A node with its streams read; ``back_edges`` are the tags and indexes that close a loop."""

    node: TreeNode
    inputs: tuple[Stream, ...]
    outputs: tuple[Stream, ...]
    side_packets: tuple[Stream, ...]
    back_edges: frozenset[tuple[str, int]]


def check_wiring(graph: TreeGraph, ovms_version: str) -> Iterator[Finding]:
    """Yield what MediaPipe, as OVMS ``ovms_version`` has it, refuses or cannot run."""
    contract = llm_contract(ovms_version)
    wired: list[_Wired] = []
    for node in graph.nodes:
        read = _read(node)
        wired.append(read)
        yield from _faults(node, ("input_stream", "output_stream", "input_side_packet"))
        yield from _options_twice(node)
        yield from _calculator(node)
        yield from _infos(read)
        if node.calculator == LLM_CALCULATOR:
            yield from _tags(read, contract)
            yield from _packet_names(read, contract)
        yield from check_handler(read.node, read.inputs)
        yield from check_output_handler(node.message, "node.output_stream_handler")
    yield from check_output_handler(graph.message, "output_stream_handler")
    yield from _faults(graph, ("input_stream", "output_stream"))
    yield from _producers(graph, wired, contract)


def _read(node: TreeNode) -> _Wired:
    return _Wired(
        node,
        _good(node.strings("input_stream")),
        _good(node.strings("output_stream")),
        _good(node.strings("input_side_packet")),
        frozenset(
            edge
            for info in node.message.messages("input_stream_info")
            if "true" in (word.lower() for word in info.texts("back_edge")) or "1" in info.texts("back_edge")
            for text in info.texts("tag_index")
            if (edge := tag_index(text)) is not None
        ),
    )


def _good(entries: Iterable[Entry]) -> tuple[Stream, ...]:
    return tuple(found for found in streams(entries) if isinstance(found, Stream))


def _faults(holder: TreeNode | TreeGraph, fields: Iterable[str]) -> Iterator[Finding]:
    for field in fields:
        for found in streams(holder.strings(field)):
            if isinstance(found, StreamFault):
                yield initialize_refused(found.text, found.fix, found.entry, field)


def _options_twice(node: TreeNode) -> Iterator[Finding]:
    seen: set[str] = set()
    for options in node.node_options:
        if options.name in seen:
            text = f"Options type: '{options.name[1:-1]}' specified more than once for a single calculator"
            yield initialize_refused(
                text, "put all options into one node_options", options, "node.node_options"
            )
        seen.add(options.name)


def _calculator(node: TreeNode) -> Iterator[Finding]:
    entry = next(iter(node.message.named("calculator")), node.entry)
    if node.calculator in OTHER_CALCULATORS:
        yield noted(
            "not_checked",
            f"{node.calculator} is no part of serving a language model: what it wants is not checked",
            "start OVMS with the graph to know",
            entry,
            path="node.calculator",
        )
    elif node.calculator != LLM_CALCULATOR:
        yield initialize_refused(
            f'Unable to find Calculator "{node.calculator}"',
            f'write calculator: "{LLM_CALCULATOR}"',
            entry,
            "node.calculator",
        )


def _infos(wired: _Wired) -> Iterator[Finding]:
    present = {(stream.tag, stream.index) for stream in wired.inputs}
    seen: set[tuple[str, int]] = set()
    for info in wired.node.message.messages("input_stream_info"):
        for entry in info.named("tag_index"):
            edge = tag_index(entry.text)
            if edge is None or edge not in present:
                text = (
                    f'Input stream with tag_index "{entry.text}" requested in InputStreamInfo but is not an '
                    "input stream of the calculator."
                )
                yield initialize_refused(
                    text, "name a tag of the node's input_stream", entry, "node.input_stream_info"
                )
            elif edge in seen:
                text = f'Input stream with tag_index "{entry.text}" has more than one InputStreamInfo.'
                yield initialize_refused(text, "keep one of the two", entry, "node.input_stream_info")
            else:
                seen.add(edge)


def _tags(wired: _Wired, contract: Contract) -> Iterator[Finding]:
    for field, found, wanted, optional in (
        ("input_stream", wired.inputs, contract.inputs, {}),
        ("output_stream", wired.outputs, contract.outputs, {}),
        ("input_side_packet", wired.side_packets, contract.side_packets, contract.optional_side_packets),
    ):
        yield from _tags_of(wired.node, field, found, wanted, optional)
    for entry in wired.node.strings("output_side_packet"):
        text = f'For output side packets: "{entry.text}" was not expected.'
        yield initialize_refused(text, "remove it", entry, "node.output_side_packet")


def _tags_of(
    node: TreeNode,
    field: str,
    found: tuple[Stream, ...],
    wanted: Mapping[str, str],
    optional: Mapping[str, str],
) -> Iterator[Finding]:
    present = {stream.tag for stream in found}
    for tag in wanted:
        if tag not in present:
            name = wanted[tag] if field == "input_side_packet" else _usual_name(tag)
            text = f'{LLM_CALCULATOR}: {field} has no tag "{tag}"'
            at = next(iter(node.message.named(field)), node.entry)
            yield initialize_refused(text, f'add {field}: "{tag}:{name}" to the node', at, f"node.{field}")
    for stream in found:
        if stream.tag not in wanted and stream.tag not in optional:
            text = f'{LLM_CALCULATOR}: {field} tag "{stream.tag}" index {stream.index} was not expected.'
            yield initialize_refused(text, "remove it from the node", stream.entry, f"node.{field}")
        elif stream.index > 0:
            text = f'{LLM_CALCULATOR}: {field} tag "{stream.tag}" has more than one index'
            yield initialize_refused(text, "keep the first", stream.entry, f"node.{field}")


def _packet_names(wired: _Wired, contract: Contract) -> Iterator[Finding]:
    names = {**contract.side_packets, **contract.optional_side_packets}
    for packet in wired.side_packets:
        wanted = names.get(packet.tag)
        if wanted and packet.name != wanted:
            yield warned(
                "side_packet_name",
                f'side packet {packet.tag} is called "{packet.name}": it loads, and every request fails, '
                f'because OVMS gives the node one called "{wanted}"',
                f'write "{packet.tag}:{wanted}"',
                packet.entry,
                path="node.input_side_packet",
            )


def _producers(graph: TreeGraph, wired: list[_Wired], contract: Contract) -> Iterator[Finding]:
    """Each input needs a producer of its type; what a node gives itself must be marked as a back edge."""
    types: dict[str, str] = {stream.name: "" for stream in _good(graph.strings("input_stream"))}
    by_node: dict[str, int] = {}
    for index, node in enumerate(wired):
        is_llm = node.node.calculator == LLM_CALCULATOR
        for stream in node.outputs:
            if stream.name in types:
                text = f'Output Stream "{stream.name}" defined twice.'
                yield initialize_refused(
                    text, "give one of them another name", stream.entry, "node.output_stream"
                )
            types[stream.name] = contract.outputs.get(stream.tag, "") if is_llm else ""
            by_node[stream.name] = index
    for index, node in enumerate(wired):
        for stream in node.inputs:
            wanted = contract.inputs.get(stream.tag, "") if node.node.calculator == LLM_CALCULATOR else ""
            yield from _consumer(stream, wanted, types, node, own=by_node.get(stream.name) == index)
            if types.get(stream.name) == "":  # a stream of any type has that of its first consumer
                types[stream.name] = wanted
    for entry in graph.strings("output_stream"):
        if last_name(entry.text) not in types:
            yield warned(
                "output_without_producer",
                f'no node produces the graph\'s output "{last_name(entry.text)}": it loads, and every '
                "request fails",
                "give it the name of the node's HTTP_RESPONSE_PAYLOAD stream",
                entry,
                path="output_stream",
            )


def _consumer(
    stream: Stream, wanted: str, types: Mapping[str, str], wired: _Wired, *, own: bool
) -> Iterator[Finding]:
    path = "node.input_stream"
    is_back_edge = (stream.tag, stream.index) in wired.back_edges
    if stream.name not in types:
        text = f'Input Stream "{stream.name}" does not have a corresponding output stream.'
        yield initialize_refused(
            text, "give it the name of an output or of the graph's input", stream.entry, path
        )
        return
    if own and not is_back_edge:
        text = (
            f'calculator stream cycle detected: the node feeds "{stream.name}" to itself, not as a back edge'
        )
        yield initialize_refused(text, _LOOP_FIX, stream.entry, path)
    given = types[stream.name]
    if wanted and given and wanted != given:
        text = (
            f'Input stream "{stream.name}" expects packets of type "{wanted}" but the connected output '
            f'stream will contain packets of type "{given}"'
        )
        yield initialize_refused(text, "connect LOOPBACK with LOOPBACK", stream.entry, path)
    if is_back_edge and not own:
        yield warned(
            "back_edge_of_nothing",
            f'"{stream.entry.text}" is marked as a back edge, and the node does not produce it: the loop of '
            "the answer is not closed",
            "mark LOOPBACK:0, and let the node's output LOOPBACK have the same name",
            stream.entry,
            path=path,
        )


def _usual_name(tag: str) -> str:
    return {"HTTP_REQUEST_PAYLOAD": "input", "HTTP_RESPONSE_PAYLOAD": "output"}.get(tag, "loopback")
