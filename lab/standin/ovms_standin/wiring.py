"""What MediaPipe checks when it initializes a graph of HttpLLMCalculator nodes
(openvinotoolkit/mediapipe b2dccf07 mediapipe/framework/validated_graph_config.cc, packet_type.cc,
tool/validate_name.cc; the contract: v2025.4.1 src/llm/http_llm_calculator.cc)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from ovms_edge.graph.reader import Graph, Node

CALCULATOR = "HttpLLMCalculator"
SIDE_PACKET = "llm"
_STREAM = re.compile(
    r"(?:(?P<tag>[A-Z_][A-Z0-9_]*):(?:(?P<index>0|[1-9][0-9]*):)?)?(?P<name>[a-z_][a-z0-9_]*)"
)
_PAYLOAD, _TEXT, _FLAG = "ovms::HttpPayload", "std::string", "bool"
_INPUTS = {"HTTP_REQUEST_PAYLOAD": _PAYLOAD, "LOOPBACK": _FLAG}
_OUTPUTS = {"HTTP_RESPONSE_PAYLOAD": _TEXT, "LOOPBACK": _FLAG}
_SIDE_PACKETS = {"LLM_NODE_RESOURCES": ""}

_Key = tuple[str, int]


@dataclass(frozen=True)
class _Ports:
    """One node's streams by tag and index."""

    inputs: dict[_Key, str]
    outputs: dict[_Key, str]
    back_edges: frozenset[_Key]


def check(graph: Graph) -> None:
    """Raise ValueError, with the words of the status, for what CalculatorGraph::Initialize refuses."""
    graph_inputs = _by_tag(graph.input_streams)
    _by_tag(graph.output_streams)
    nodes = [_ports(node) for node in graph.nodes]
    producers = _producers(graph_inputs.values(), nodes)
    kinds: dict[str, str] = {
        stream: _OUTPUTS[tag] for ports in nodes for (tag, _), stream in ports.outputs.items()
    }
    order: TopologicalSorter[int] = TopologicalSorter()
    for number, ports in enumerate(nodes):
        for key, stream in ports.inputs.items():
            if stream not in producers:
                raise ValueError(f'Input Stream "{stream}" does not have a corresponding output stream.')
            wanted = _INPUTS[key[0]]
            if kinds.setdefault(stream, wanted) != wanted:
                raise ValueError(f'Input stream "{stream}" expects packets of type "{wanted}"')
            producer = producers[stream]
            if key not in ports.back_edges and producer is not None:
                if producer == number:
                    raise ValueError(f"calculator stream cycle detected in graph: [{stream}]")
                order.add(number, producer)
    try:
        order.prepare()
    except CycleError as error:
        raise ValueError("calculator stream cycle detected in graph") from error


def request_fault(graph: Graph) -> str:
    """Return why each request to an initialized graph fails before it is read, empty if it does not."""
    produced = {_name(stream) for node in graph.nodes for stream in node.output_streams}
    produced |= {_name(stream) for stream in graph.input_streams}
    for stream in graph.output_streams:
        if _name(stream) not in produced:
            return f'no node produces the output stream "{_name(stream)}"'
    for node in graph.nodes:
        for packet in node.side_packets:
            if _name(packet) != SIDE_PACKET:
                return f'side packet "{_name(packet)}" is required but was not provided'
    return ""


def _ports(node: Node) -> _Ports:
    if node.calculator != CALCULATOR:
        raise ValueError(f'Unable to find Calculator "{node.calculator}"')
    for url in node.option_types:
        if node.option_types.count(url) > 1:
            raise ValueError(f"Options type: '{url}' specified more than once for a single calculator")
    inputs, outputs = _by_tag(node.input_streams), _by_tag(node.output_streams)
    for found, wanted in (
        (inputs, _INPUTS),
        (outputs, _OUTPUTS),
        (_by_tag(node.side_packets), _SIDE_PACKETS),
    ):
        if set(found) != {(tag, 0) for tag in wanted}:
            raise ValueError(f"{CALCULATOR}: tags {sorted(found)}, expected {sorted(wanted)}")
    infos = [_tag_index(info) for info in node.stream_infos]
    for info in infos:
        if info not in inputs or infos.count(info) > 1:
            raise ValueError(f"InputStreamInfo {info} is no input stream of the calculator, or repeated")
    return _Ports(inputs, outputs, frozenset(_tag_index(edge) for edge in node.back_edges))


def _producers(graph_inputs: Iterable[str], nodes: list[_Ports]) -> dict[str, int | None]:
    """Return which node produces each stream, None for the graph's own inputs."""
    producers: dict[str, int | None] = dict.fromkeys(graph_inputs)
    for number, ports in enumerate(nodes):
        for stream in ports.outputs.values():
            if stream in producers:
                raise ValueError(f'Output Stream "{stream}" defined twice.')
            producers[stream] = number
    return producers


def _by_tag(streams: Iterable[str]) -> dict[_Key, str]:
    found: dict[_Key, str] = {}
    for stream in streams:
        match = _STREAM.fullmatch(stream)
        if match is None:
            raise ValueError(f'TAG:index:name is invalid, "{stream}" does not match')
        tag = match["tag"] or ""
        index = int(match["index"] or 0) if tag else sum(not name for name, _ in found)
        if (tag, index) in found:
            raise ValueError(f'tag "{tag}" index {index} already had a name "{found[tag, index]}"')
        found[tag, index] = match["name"]
    for tag, index in found:
        if index and (tag, index - 1) not in found:
            raise ValueError(f'Not all indexes were assigned names. Tag "{tag}"')
    return found


def _tag_index(text: str) -> _Key:
    tag, _, index = text.partition(":")
    return tag, int(index) if index.isdecimal() else 0


def _name(stream: str) -> str:
    return stream.rpartition(":")[2]
