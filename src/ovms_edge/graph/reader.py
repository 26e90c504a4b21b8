"""Read ``graph.pbtxt`` as one OVMS version would: google.protobuf on descriptors made from the field matrix.

For builders, controllers and the lab (a node does not have google.protobuf).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import message_factory, text_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import EncodeError, Message

from ovms_edge.errors import EdgeError
from ovms_edge.graph.schema import GRAPH_MESSAGE, LLM_OPTIONS_MESSAGE, graph_files
from ovms_edge.ovms.fields import fields_for

_REMEDY = "correct the file; docs of this OVMS version's mediapipe.LLMCalculatorOptions name every field"
_JSON = re.compile(r'\s*\{\s*["}]')
_POSITION = re.compile(r"^(\d+):(\d+) : ")


@dataclass(frozen=True)
class Node:
    """One calculator of a graph.

    Streams are as written, ``TAG:name``. ``back_edges`` are the tag indexes of ``input_stream_info`` that
    close a loop; ``options`` are the explicitly set LLMCalculatorOptions, None where the node has none.
    """

    name: str
    calculator: str
    input_streams: tuple[str, ...]
    output_streams: tuple[str, ...]
    side_packets: tuple[str, ...]
    back_edges: tuple[str, ...]
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

    Raises EdgeError, with line and column where protobuf gives them, for what that OVMS refuses to parse:
    text that is not a text-format graph, a field that it does not know, a required field that is not set.
    """
    pool, graph_class = _graph_class(ovms_version)
    if not text.strip():
        raise EdgeError("graph.pbtxt is empty", _REMEDY)
    graph: Any = graph_class()
    try:
        text_format.Parse(text, graph, descriptor_pool=pool)
    except text_format.ParseError as error:
        raise EdgeError(_located(str(error), text, ovms_version), _REMEDY) from error
    except EncodeError as error:  # only node_options have required fields; they are packed while parsing
        raise EdgeError(f"OVMS {ovms_version} cannot parse graph.pbtxt: {error}", _REMEDY) from error
    return Graph(
        input_streams=tuple(graph.input_stream),
        output_streams=tuple(graph.output_stream),
        side_packets=tuple(graph.input_side_packet),
        nodes=tuple(_node(node, pool) for node in graph.node),
    )


@cache
def _graph_class(ovms_version: str) -> tuple[DescriptorPool, type[Message]]:
    pool = DescriptorPool()
    for file in graph_files(fields_for(ovms_version)):
        pool.Add(file)
    # the extension of MediaPipeOptions is only found by name once its message's class exists
    message_factory.GetMessageClass(pool.FindMessageTypeByName("mediapipe.SyncSetInputStreamHandlerOptions"))
    return pool, message_factory.GetMessageClass(pool.FindMessageTypeByName(GRAPH_MESSAGE))


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
        back_edges=tuple(info.tag_index for info in node.input_stream_info if info.back_edge),
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


def _located(error: str, text: str, ovms_version: str) -> str:
    position = _POSITION.match(error)
    detail = error[position.end() :] if position else error
    place = f" line {position[1]} column {position[2]}" if position else ""
    if _JSON.match(text):
        detail = "it is JSON, OVMS wants protobuf's text format"
    return f"OVMS {ovms_version} cannot parse graph.pbtxt{place}: {detail}"
