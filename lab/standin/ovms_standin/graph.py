"""What OVMS checks of a graph before it loads the model, in its order
(v2025.4.1 src/mediapipe_internal/mediapipegraphdefinition.cpp, src/llm/servable_initializer.cpp)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.graph.reader import Graph, Node, read_graph
from ovms_edge.ovms.fields import fields_for
from ovms_standin import OVMS_VERSION, wiring
from ovms_standin.status import StatusCode, StatusError

logger = logging.getLogger("modelmanager")
# the beginning of a tag says what OVMS passes (src/mediapipe_internal/mediapipe_utils.cpp)
_KFS_REQUEST, _KFS_RESPONSE, _TFLITE = "REQUEST", "RESPONSE", "TFLITE_TENSOR"


@dataclass(frozen=True)
class LlmNode:
    """What is to be loaded: ``options`` hold every field's value or default.

    ``request_fault``, if not empty, is why each request fails once it is loaded.
    """

    name: str
    input_stream: str
    models_path: Path
    options: Mapping[str, Any]
    plugin_config: Mapping[str, Any]
    request_fault: str


def check(text: str, name: str, base_path: Path) -> LlmNode:
    """Return the node to load; raises StatusError with the code that OVMS would log."""
    try:
        graph = read_graph(text, OVMS_VERSION)
    except EdgeError as error:
        logger.error("Trying to parse mediapipe graph definition: %s failed: %s", name, error.reason)
        raise StatusError(StatusCode.MEDIAPIPE_GRAPH_CONFIG_FILE_INVALID, error.reason) from error
    _check_streams(graph, name)
    try:
        wiring.check(graph)
    except ValueError as error:
        logger.error("Mediapipe graph: %s initialization failed with message: %s", name, error)
        raise StatusError(StatusCode.MEDIAPIPE_GRAPH_INITIALIZATION_ERROR, str(error)) from error
    return _llm_node(graph, base_path)


def _check_streams(graph: Graph, name: str) -> None:
    for streams, code in (
        (graph.input_streams, StatusCode.MEDIAPIPE_WRONG_INPUT_STREAM_PACKET_NAME),
        (graph.output_streams, StatusCode.MEDIAPIPE_WRONG_OUTPUT_STREAM_PACKET_NAME),
        (graph.side_packets, StatusCode.MEDIAPIPE_WRONG_INPUT_SIDE_PACKET_STREAM_PACKET_NAME),
    ):
        names = [_stream_name(stream) for stream in streams]
        repeated = len(set(names)) != len(names) and streams is not graph.side_packets
        if "" in names or repeated:
            raise StatusError(code, ", ".join(streams))
    if not graph.input_streams or not graph.output_streams:
        logger.error(
            "Failed to prepare mediapipe graph: %s; having less than one input or output is disallowed", name
        )
        raise StatusError(StatusCode.INTERNAL_ERROR)
    if any(_tag(stream).startswith(_TFLITE) for stream in (*graph.input_streams, *graph.output_streams)):
        raise StatusError(StatusCode.NOT_IMPLEMENTED)
    requests = any(_tag(stream).startswith(_KFS_REQUEST) for stream in graph.input_streams)
    responses = any(_tag(stream).startswith(_KFS_RESPONSE) for stream in graph.output_streams)
    if requests and not responses:
        raise StatusError(StatusCode.MEDIAPIPE_KFS_PASSTHROUGH_MISSING_OUTPUT_RESPONSE_TAG)
    if responses and not requests:
        raise StatusError(StatusCode.MEDIAPIPE_KFS_PASSTHROUGH_MISSING_INPUT_REQUEST_TAG)


def _llm_node(graph: Graph, base_path: Path) -> LlmNode:
    """Check node after node, as OVMS loads them; the first is what is served."""
    nodes: dict[str, LlmNode] = {}
    for node in graph.nodes:
        if not node.option_types:
            raise StatusError(StatusCode.LLM_NODE_MISSING_OPTIONS)
        if not node.name:
            raise StatusError(StatusCode.LLM_NODE_MISSING_NAME)
        if node.name in nodes:
            raise StatusError(StatusCode.LLM_NODE_NAME_ALREADY_EXISTS, node.name)
        nodes[node.name] = _options(node, graph, base_path)
    if not nodes:
        raise StatusError(
            StatusCode.MEDIAPIPE_GRAPH_INITIALIZATION_ERROR, "the stand-in serves no other graph"
        )
    return next(iter(nodes.values()))


def _options(node: Node, graph: Graph, base_path: Path) -> LlmNode:
    defaults = {name: field.default for name, field in fields_for(OVMS_VERSION).items()}
    options = {**defaults, **(node.options or {})}
    models_path = base_path / options["models_path"]  # an absolute one stays as it is
    if not models_path.exists():
        logger.error("LLM node models_path: %s does not exist.", models_path)
        raise StatusError(StatusCode.LLM_NODE_DIRECTORY_DOES_NOT_EXIST, str(models_path))
    if not models_path.is_dir() and models_path.suffix != ".gguf":
        logger.error("LLM node models_path: %s is not a directory nor GGUF file", models_path)
        raise StatusError(StatusCode.LLM_NODE_PATH_DOES_NOT_EXIST_AND_NOT_GGUFFILE, str(models_path))
    _check_pipeline_type(options["pipeline_type"], models_path)
    if not options["draft_models_path"] and any(
        options[name] is not None for name in options if name.startswith("draft_")
    ):
        logger.error("Draft model path is not provided, but draft scheduler options are set.")
        raise StatusError(StatusCode.LLM_NODE_RESOURCE_STATE_INITIALIZATION_FAILED)
    return LlmNode(
        node.name,
        _stream_name(graph.input_streams[0]),
        models_path,
        options,
        _plugin_config(options["plugin_config"]),
        wiring.request_fault(graph),
    )


def _check_pipeline_type(pipeline_type: str, models_path: Path) -> None:
    vlm = (models_path / "openvino_text_embeddings_model.xml").exists() and (
        models_path / "openvino_vision_embeddings_model.bin"
    ).exists()
    if pipeline_type != "AUTO" and vlm != pipeline_type.startswith("VLM"):
        content = "VLM" if vlm else "non-VLM"
        logger.error("Models directory content indicates %s pipeline, not %s", content, pipeline_type)
        raise StatusError(StatusCode.INTERNAL_ERROR)
    if not vlm:
        logger.error("The stand-in serves vision-language models only; %s is none", models_path)
        raise StatusError(StatusCode.LLM_NODE_RESOURCE_STATE_INITIALIZATION_FAILED)


def _plugin_config(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        properties = json.loads(text)
    except ValueError as error:
        raise StatusError(StatusCode.PLUGIN_CONFIG_WRONG_FORMAT, str(error)) from error
    if not isinstance(properties, dict):
        raise StatusError(StatusCode.PLUGIN_CONFIG_WRONG_FORMAT)
    devices = properties.get("DEVICE_PROPERTIES")
    nested = list(devices.values()) if isinstance(devices, dict) else []
    plain = [value for key, value in properties.items() if not (key == "DEVICE_PROPERTIES" and nested)]
    plain += [value for group in nested if isinstance(group, dict) for value in group.values()]
    if not _all_plain(plain) or not all(isinstance(group, dict) for group in nested):
        logger.error("Error during llm node plugin_config option parsing to JSON: %s", text)
        raise StatusError(StatusCode.PLUGIN_CONFIG_WRONG_FORMAT, text)
    return properties


def _all_plain(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str | bool | int | float) for value in values)


def _stream_name(stream: str) -> str:
    return stream.removesuffix(":").rpartition(":")[2]


def _tag(stream: str) -> str:
    return stream.partition(":")[0] if ":" in stream else ""
