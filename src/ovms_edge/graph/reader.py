"""Read ``graph.pbtxt`` as one OVMS version would: google.protobuf on descriptors made from the field matrix.

OVMS parses with C++ protobuf, which is stricter than Python's: what only Python takes is refused before.

For builders, controllers and the lab (a node does not have google.protobuf).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import message_factory, text_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import EncodeError, Message

from ovms_edge.errors import EdgeError
from ovms_edge.graph.text.schema import GRAPH_MESSAGE, LLM_OPTIONS_MESSAGE, graph_files
from ovms_edge.graph.text.syntax import GraphSyntaxError, parse
from ovms_edge.graph.text.typed import problems
from ovms_edge.ovms.fields import fields_for

_REMEDY = "correct the file; docs of this OVMS version's mediapipe.LLMCalculatorOptions name every field"
_JSON = re.compile(r'\s*\{\s*["}]')
_POSITION = re.compile(r"^(\d+):(\d+) : ")


@dataclass(frozen=True)
class Node:
    """One calculator of a graph.

    Streams are as written, ``TAG:name``. ``stream_infos`` are the tag indexes of ``input_stream_info``,
    ``back_edges`` those that close a loop; ``option_types`` are the type URLs of node_options; ``options``
    are the explicitly set LLMCalculatorOptions, None where the node has none.
    """

    name: str
    calculator: str
    input_streams: tuple[str, ...]
    output_streams: tuple[str, ...]
    side_packets: tuple[str, ...]
    stream_infos: tuple[str, ...]
    back_edges: tuple[str, ...]
    option_types: tuple[str, ...]
    options: Mapping[str, Any] | None


@dataclass(frozen=True)
class Graph:
    """A parsed ``graph.pbtxt``."""

    input_streams: tuple[str, ...]
    output_streams: tuple[str, ...]
    side_packets: tuple[str, ...]
    nodes: tuple[Node, ...]

    @property
    def llm_options(self) -> Mapping[str, Any]:
        """The explicitly set LLMCalculatorOptions of the first node that has some (enums by name)."""
        return next((node.options for node in self.nodes if node.options is not None), {})


def read_graph(text: str, ovms_version: str) -> Graph:
    """Parse ``text`` with the fields that ``ovms_version`` knows.

    Raises EdgeError, with line and column where there is a place, for what that OVMS refuses to parse: text
    that is not a text-format graph, a field that it does not know, a required field that is not set.
    """
    kind = graph_kind(ovms_version)
    if not text:
        raise EdgeError("graph.pbtxt is empty", _REMEDY)
    try:
        tree = parse(text)
    except GraphSyntaxError as error:
        detail = "it is JSON, OVMS wants protobuf's text format" if is_json(text) else error.problem
        raise _refusal(ovms_version, error.line, error.column, detail) from error
    for problem in problems(text, tree, kind.descriptor, kind.pool):
        raise _refusal(ovms_version, problem.line, problem.column, problem.text)
    try:
        graph = to_protobuf(text, kind)
    except NotParsedError as error:
        raise _refusal(ovms_version, error.line, error.column, error.problem) from error
    return Graph(
        input_streams=tuple(graph.input_stream),
        output_streams=tuple(graph.output_stream),
        side_packets=tuple(graph.input_side_packet),
        nodes=tuple(_node(node, kind.pool) for node in graph.node),
    )


@dataclass(frozen=True)
class GraphKind:
    """A CalculatorGraphConfig as one OVMS version has it."""

    pool: DescriptorPool
    descriptor: Descriptor


class NotParsedError(Exception):
    """What google.protobuf says of a text that it does not parse. ``line`` and ``column`` may be 0."""

    def __init__(self, problem: str, line: int, column: int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line
        self.column = column


@cache
def graph_kind(ovms_version: str) -> GraphKind:
    """Return the message type of a graph with the fields that ``ovms_version`` knows."""
    pool = DescriptorPool()
    for file in graph_files(fields_for(ovms_version)):
        pool.Add(file)
    # the extension of MediaPipeOptions is only found by name once its message's class exists
    message_factory.GetMessageClass(pool.FindMessageTypeByName("mediapipe.SyncSetInputStreamHandlerOptions"))
    return GraphKind(pool, pool.FindMessageTypeByName(GRAPH_MESSAGE))


def to_protobuf(text: str, kind: GraphKind) -> Any:
    """Return the message that google.protobuf parses from ``text``; raises NotParsedError."""
    graph: Any = message_factory.GetMessageClass(kind.descriptor)()
    try:
        text_format.Parse(text, graph, descriptor_pool=kind.pool)
    except text_format.ParseError as error:
        position = _POSITION.match(str(error))
        detail = str(error)[position.end() :] if position else str(error)
        line, column = (int(position[1]), int(position[2])) if position else (0, 0)
        raise NotParsedError(detail, line, column) from error
    except EncodeError as error:  # only node_options have required fields; they are packed while parsing
        raise NotParsedError(str(error), 0, 0) from error
    return graph


def is_json(text: str) -> bool:
    """Return whether ``text`` looks like a JSON object."""
    return _JSON.match(text) is not None


def _node(node: Any, pool: DescriptorPool) -> Node:
    options = None
    for packed in node.node_options:
        if packed.TypeName() == LLM_OPTIONS_MESSAGE and options is None:
            message = message_factory.GetMessageClass(pool.FindMessageTypeByName(LLM_OPTIONS_MESSAGE))()
            message.MergeFromString(packed.value)
            options = _set_fields(message)
    return Node(
        name=node.name,
        calculator=node.calculator,
        input_streams=tuple(node.input_stream),
        output_streams=tuple(node.output_stream),
        side_packets=tuple(node.input_side_packet),
        stream_infos=tuple(info.tag_index for info in node.input_stream_info),
        back_edges=tuple(info.tag_index for info in node.input_stream_info if info.back_edge),
        option_types=tuple(packed.type_url for packed in node.node_options),
        options=options,
    )


def _set_fields(message: Message) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.message_type is not None:
            values[field.name] = _set_fields(value)
        elif field.enum_type is not None:
            values[field.name] = field.enum_type.values_by_number[value].name
        else:
            values[field.name] = value
    return values


def _refusal(ovms_version: str, line: int, column: int, detail: str) -> EdgeError:
    place = f" line {line} column {column}" if line else ""
    return EdgeError(f"OVMS {ovms_version} cannot parse graph.pbtxt{place}: {detail}", _REMEDY)
