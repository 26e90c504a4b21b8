"""The messages of a MediaPipe graph, as protobuf descriptors.

Names and types from google/mediapipe framework/calculator.proto, mediapipe_options.proto,
thread_pool_executor.proto and
openvinotoolkit/mediapipe calculators/.../sync_set_input_stream_handler.proto. Field numbers do not matter in
text format: they are given in order.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf import any_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from ovms_edge.ovms.fields import Field, Fields

GRAPH_MESSAGE = "mediapipe.CalculatorGraphConfig"
LLM_OPTIONS_MESSAGE = "mediapipe.LLMCalculatorOptions"

_F = FieldDescriptorProto
_TYPES = {
    "string": _F.TYPE_STRING,
    "bool": _F.TYPE_BOOL,
    "int32": _F.TYPE_INT32,
    "int64": _F.TYPE_INT64,
    "uint32": _F.TYPE_UINT32,
    "uint64": _F.TYPE_UINT64,
    "float": _F.TYPE_FLOAT,
}
_FIRST_EXTENSION, _LAST_EXTENSION = 20000, 536870912

# name: type, "*" behind it where repeated; a type that is no scalar is a message of this package
_GRAPH_MESSAGES: dict[str, dict[str, str]] = {
    "MediaPipeOptions": {},
    "CalculatorOptions": {"merge_fields": "bool"},
    "InputStreamHandlerConfig": {"input_stream_handler": "string", "options": "MediaPipeOptions"},
    "OutputStreamHandlerConfig": {
        "output_stream_handler": "string",
        "input_side_packet": "string*",
        "options": "MediaPipeOptions",
    },
    "ExecutorConfig": {"name": "string", "type": "string", "options": "MediaPipeOptions"},
    "InputStreamInfo": {"tag_index": "string", "back_edge": "bool"},
    "PacketFactoryConfig": {
        "packet_factory": "string",
        "output_side_packet": "string",
        "external_output": "string",
    },
    "PacketGeneratorConfig": {
        "packet_generator": "string",
        "input_side_packet": "string*",
        "external_input": "string*",
        "output_side_packet": "string*",
        "external_output": "string*",
    },
    "StatusHandlerConfig": {
        "status_handler": "string",
        "input_side_packet": "string*",
        "external_input": "string*",
    },
    "ProfilerConfig": {
        "histogram_interval_size_usec": "int64",
        "num_histogram_intervals": "int64",
        "enable_input_output_latency": "bool",
        "enable_profiler": "bool",
        "enable_stream_latency": "bool",
        "use_packet_timestamp_for_added_packet": "bool",
        "trace_log_capacity": "int64",
        "trace_event_types_disabled": "int32*",
        "trace_log_path": "string",
        "trace_log_count": "int32",
        "trace_log_interval_usec": "int64",
        "trace_log_margin_usec": "int64",
        "trace_log_duration_events": "bool",
        "trace_log_interval_count": "int32",
        "trace_log_disabled": "bool",
        "trace_enabled": "bool",
        "trace_log_instant_events": "bool",
        "calculator_filter": "string",
    },
    "CalculatorGraphConfigNode": {
        "name": "string",
        "calculator": "string",
        "input_stream": "string*",
        "output_stream": "string*",
        "input_side_packet": "string*",
        "output_side_packet": "string*",
        "options": "CalculatorOptions",
        "node_options": "google.protobuf.Any*",
        "source_layer": "int32",
        "buffer_size_hint": "int32",
        "input_stream_handler": "InputStreamHandlerConfig",
        "output_stream_handler": "OutputStreamHandlerConfig",
        "input_stream_info": "InputStreamInfo*",
        "executor": "string",
        "profiler_config": "ProfilerConfig",
        "max_in_flight": "int32",
        "option_value": "string*",
        "external_input": "string*",
    },
    "CalculatorGraphConfig": {
        "node": "CalculatorGraphConfigNode*",
        "packet_factory": "PacketFactoryConfig*",
        "packet_generator": "PacketGeneratorConfig*",
        "num_threads": "int32",
        "status_handler": "StatusHandlerConfig*",
        "input_stream": "string*",
        "output_stream": "string*",
        "input_side_packet": "string*",
        "output_side_packet": "string*",
        "max_queue_size": "int32",
        "report_deadlock": "bool",
        "input_stream_handler": "InputStreamHandlerConfig",
        "output_stream_handler": "OutputStreamHandlerConfig",
        "executor": "ExecutorConfig*",
        "profiler_config": "ProfilerConfig",
        "package": "string",
        "type": "string",
        "options": "MediaPipeOptions",
        "graph_options": "google.protobuf.Any*",
    },
}


def graph_files(llm_fields: Fields) -> tuple[FileDescriptorProto, ...]:
    """Return the files to add to a descriptor pool, in order, for a graph whose LLM options are these."""
    any_file = FileDescriptorProto()
    any_pb2.DESCRIPTOR.CopyToProto(any_file)
    graph_file = FileDescriptorProto(
        name="ovms_edge/graph.proto", package="mediapipe", syntax="proto2", dependency=[any_file.name]
    )
    for name, fields in _GRAPH_MESSAGES.items():
        message = graph_file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            _add(message, field, number, kind)
        if name.endswith("Options"):
            message.extension_range.add(start=_FIRST_EXTENSION, end=_LAST_EXTENSION)
    graph_file.message_type.append(_sync_set_options())
    graph_file.message_type.append(_thread_pool_options())
    _add_options_message(graph_file.message_type.add(name="LLMCalculatorOptions"), llm_fields.values())
    return any_file, graph_file


def _add(message: DescriptorProto, name: str, number: int, kind: str) -> None:
    repeated = kind.endswith("*")
    kind = kind.removesuffix("*")
    field = message.field.add(
        name=name, number=number, label=_F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL
    )
    if kind in _TYPES:
        field.type = _TYPES[kind]
    else:
        field.type = _F.TYPE_MESSAGE
        field.type_name = f".{kind}" if "." in kind else f".mediapipe.{kind}"


def _sync_set_options() -> DescriptorProto:
    options = DescriptorProto(name="SyncSetInputStreamHandlerOptions")
    sync_set = options.nested_type.add(name="SyncSet")
    _add(sync_set, "tag_index", 1, "string*")
    _add(options, "sync_set", 1, "SyncSetInputStreamHandlerOptions.SyncSet*")
    options.field[0].type_name = ".mediapipe.SyncSetInputStreamHandlerOptions.SyncSet"
    _extend_options(options, _FIRST_EXTENSION)
    return options


def _thread_pool_options() -> DescriptorProto:
    options = DescriptorProto(name="ThreadPoolExecutorOptions")
    for number, name in enumerate(("num_threads", "stack_size", "nice_priority_level"), start=1):
        _add(options, name, number, "int32")
    performance = options.enum_type.add(name="ProcessorPerformance")
    for value, name in enumerate(("NORMAL", "LOW", "HIGH")):
        performance.value.add(name=name, number=value)
    options.field.add(
        name="require_processor_performance",
        number=4,
        label=_F.LABEL_OPTIONAL,
        type=_F.TYPE_ENUM,
        type_name=".mediapipe.ThreadPoolExecutorOptions.ProcessorPerformance",
    )
    _add(options, "thread_name_prefix", 5, "string")
    _extend_options(options, _FIRST_EXTENSION + 1)
    return options


def _extend_options(options: DescriptorProto, number: int) -> None:
    """Let ``options`` stand in MediaPipeOptions as ``[mediapipe.NAME.ext]``."""
    options.extension.add(
        name="ext",
        number=number,
        label=_F.LABEL_OPTIONAL,
        type=_F.TYPE_MESSAGE,
        type_name=f".mediapipe.{options.name}",
        extendee=".mediapipe.MediaPipeOptions",
    )


def _add_options_message(message: DescriptorProto, fields: Iterable[Field]) -> None:
    for number, field in enumerate(fields, start=1):
        descriptor = message.field.add(
            name=field.name,
            number=number,
            label=_F.LABEL_REQUIRED if field.required else _F.LABEL_OPTIONAL,
        )
        nested_name = "".join(part.capitalize() for part in field.name.split("_"))
        if field.message is not None:
            descriptor.type = _F.TYPE_MESSAGE
            _add_options_message(message.nested_type.add(name=nested_name), field.message.values())
        elif field.choices:
            descriptor.type = _F.TYPE_ENUM
            enum = message.enum_type.add(name=nested_name)
            for value, choice in enumerate(field.choices):
                enum.value.add(name=choice, number=value)
        else:
            descriptor.type = _TYPES[field.type]
            continue
        descriptor.type_name = nested_name  # relative: protobuf resolves it from the enclosing message
