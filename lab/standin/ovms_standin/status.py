"""OVMS's status codes: their texts (v2025.4.1 src/status.cpp) and HTTP codes (src/http_server.cpp)."""

from __future__ import annotations

from enum import Enum


class StatusCode(Enum):
    """``value`` is (text, HTTP code); a code missing from OVMS's map is answered with 500."""

    PATH_INVALID = ("The provided base path is invalid or doesn't exists", 400)
    FILE_INVALID = ("File not found or cannot open", 500)
    CONFIG_FILE_INVALID = ("Configuration file not found or cannot open", 500)
    NOT_IMPLEMENTED = ("Functionality not implemented", 500)
    MODEL_NOT_LOADED = ("Error while loading a model", 500)
    JSON_INVALID = ("The file is not valid json", 412)
    PLUGIN_CONFIG_WRONG_FORMAT = ("Plugin config is in wrong format", 500)
    CONFIG_FILE_TIMESTAMP_READING_FAILED = ("Error during config file timestamp reading", 500)
    MODEL_NAME_MISSING = ("Model with requested name is not found", 404)
    MODEL_VERSION_NOT_LOADED_YET = ("Model with requested version is not loaded yet", 404)
    INTERNAL_ERROR = ("Internal server error", 500)
    REST_INVALID_URL = ("Invalid request URL", 400)
    REST_UNSUPPORTED_METHOD = ("Unsupported method", 406)
    FAILED_TO_DEDUCE_MODEL_NAME_FROM_URI = ("Failed to deduce model name from all possible ways", 500)
    UNAUTHORIZED = ("Unauthorized request due to invalid or missing api-key", 500)
    MEDIAPIPE_GRAPH_CONFIG_FILE_INVALID = ("Failed to read protobuf graph configuration file", 500)
    MEDIAPIPE_GRAPH_INITIALIZATION_ERROR = ("Failed to initialize mediapipe graph", 500)
    MEDIAPIPE_GRAPH_ADD_PACKET_INPUT_STREAM = ("Failed to add packet to mediapipe graph input stream", 412)
    MEDIAPIPE_DEFINITION_NAME_MISSING = (
        "Mediapipe graph definition with requested name is not found",
        404,
    )
    MEDIAPIPE_EXECUTION_ERROR = ("Mediapipe execution failed. MP status", 400)
    MEDIAPIPE_DEFINITION_NOT_LOADED_ANYMORE = ("Mediapipe is retired", 404)
    MEDIAPIPE_DEFINITION_NOT_LOADED_YET = ("Mediapipe is not loaded yet", 500)
    MEDIAPIPE_WRONG_INPUT_STREAM_PACKET_NAME = ("Mediapipe unexpected input stream packets name", 500)
    MEDIAPIPE_WRONG_OUTPUT_STREAM_PACKET_NAME = ("Mediapipe unexpected output stream packets name", 500)
    MEDIAPIPE_GRAPH_NAME_OCCUPIED = ("Given mediapipe graph name is already occupied", 500)
    MEDIAPIPE_WRONG_INPUT_SIDE_PACKET_STREAM_PACKET_NAME = (
        "Mediapipe unexpected input side packet stream name",
        500,
    )
    MEDIAPIPE_KFS_PASSTHROUGH_MISSING_OUTPUT_RESPONSE_TAG = (
        "Mediapipe KFS pass through graph is missing RESPONSE: string in the output name",
        500,
    )
    MEDIAPIPE_KFS_PASSTHROUGH_MISSING_INPUT_REQUEST_TAG = (
        "Mediapipe KFS pass through graph is missing REQUEST: string in the input name",
        500,
    )
    MEDIAPIPE_GRAPH_START_ERROR = ("Failed to start mediapipe graph", 500)
    LLM_NODE_NAME_ALREADY_EXISTS = ("The LLM Node name is already present in nodes list", 500)
    LLM_NODE_DIRECTORY_DOES_NOT_EXIST = ("The LLM Node workspace path does not exist", 500)
    LLM_NODE_PATH_DOES_NOT_EXIST_AND_NOT_GGUFFILE = (
        "The LLM Node workspace path does not exist and not gguf model file",
        500,
    )
    LLM_NODE_RESOURCE_STATE_INITIALIZATION_FAILED = ("The LLM Node resource initialization failed", 500)
    LLM_NODE_MISSING_OPTIONS = ("The LLM Node is missing options definition", 500)
    LLM_NODE_MISSING_NAME = ("The LLM Node is missing name definition", 500)
    METRICS_REST_PORT_MISSING = ("Missing rest_port parameter in server CLI", 500)
    INVALID_METRICS_FAMILY_NAME = ("Invalid name in metrics_list", 500)

    @property
    def text(self) -> str:
        return self.value[0]

    @property
    def http(self) -> int:
        return self.value[1]


class StatusError(Exception):
    """A failure that OVMS reports as one of its status codes."""

    def __init__(self, code: StatusCode, detail: str = "") -> None:
        super().__init__(f"{code.text} - {detail}" if detail else code.text)
        self.code = code


class InvalidArgument(Exception):  # noqa: N818 - the name of the absl status
    """What a calculator refuses in a request; the graph then fails with MEDIAPIPE_EXECUTION_ERROR."""

    def as_status(self, node: str) -> StatusError:
        return StatusError(
            StatusCode.MEDIAPIPE_EXECUTION_ERROR,
            f'INVALID_ARGUMENT: CalculatorGraph::Run() failed: \nCalculator::Process() for node "{node}" '
            f"failed: {self}",
        )
