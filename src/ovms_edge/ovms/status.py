"""Where the load of a graph stops: OVMS's checks in its order, with the StatusCode and the log text of each.

OVMS stops at the first check that fails and logs it; the graph is then listed as ``LOADING`` with
``FAILED_PRECONDITION``. Source: model_server v2025.4.1 src/mediapipe_internal/mediapipegraphdefinition.cpp
(``validate``, ``initializeNodes``), src/llm/servable_initializer.cpp, src/llm/language_model/
continuous_batching/servable_initializer.cpp and src/status.cpp; 2024.4 to 2025.0: src/llm/
llmnoderesources.cpp; from 2026.2: src/llm/llm_node_initializer.cpp. Versions that differ are named here.
"""

from __future__ import annotations

from dataclasses import dataclass

# From here on the checks are done node by node: all of the first node's, then those of the next.
FIRST_NODE_STEP = 100
STEPS_PER_NODE = 100


@dataclass(frozen=True)
class LoadCheck:
    """One check. ``step`` orders them, ``log`` is what OVMS prints ({} stands for names and values)."""

    code: str
    step: int
    log: str
    per_node: bool = False

    def at_node(self, index: int) -> int:
        """Return the step of this check for the node of that ``index`` in the graph (from 0)."""
        return self.step if not self.per_node else FIRST_NODE_STEP + index * STEPS_PER_NODE + self.step


def _node(code: str, step: int, log: str) -> LoadCheck:
    return LoadCheck(code, step, log, per_node=True)


_PARSE = "MEDIAPIPE_GRAPH_CONFIG_FILE_INVALID"
_LOAD = "LLM_NODE_RESOURCE_STATE_INITIALIZATION_FAILED"

NAME_TAKEN = LoadCheck(
    "MEDIAPIPE_GRAPH_NAME_OCCUPIED", 1, "Mediapipe graph name: {} is already occupied by model or pipeline."
)
NOT_READABLE = LoadCheck("FILE_INVALID", 2, "Failed to open mediapipe graph definition: {}, file: {}")
EMPTY = LoadCheck(_PARSE, 3, "Trying to parse empty mediapipe graph definition: {} failed")
PARSE = LoadCheck(_PARSE, 4, "Trying to parse mediapipe graph definition: {} failed")
QUEUE_SIZE = LoadCheck(_PARSE, 5, "Invalid OVMS_GRAPH_QUEUE_MAX_SIZE value: {}")  # from 2026.2
GRAPH_INPUT = LoadCheck(
    "MEDIAPIPE_WRONG_INPUT_STREAM_PACKET_NAME", 6, "Creating Mediapipe graph inputs name failed for: {}"
)
GRAPH_OUTPUT = LoadCheck(
    "MEDIAPIPE_WRONG_OUTPUT_STREAM_PACKET_NAME", 7, "Creating Mediapipe graph outputs name failed for: {}"
)
GRAPH_SIDE_PACKET = LoadCheck(
    "MEDIAPIPE_WRONG_INPUT_SIDE_PACKET_STREAM_PACKET_NAME",
    8,
    "Creating Mediapipe graph input side packet name failed for: {}",
)
NO_STREAM = LoadCheck(
    "INTERNAL_ERROR",
    9,
    "Failed to prepare mediapipe graph: {}; having less than one input or output is disallowed",
)
INITIALIZE = LoadCheck(
    "MEDIAPIPE_GRAPH_INITIALIZATION_ERROR", 10, "Mediapipe graph: {} initialization failed with message: {}"
)

NO_OPTIONS = _node("LLM_NODE_MISSING_OPTIONS", 1, "LLM node missing options in graph: {}.")
NO_NAME = _node("LLM_NODE_MISSING_NAME", 2, "LLM node name is missing in graph: {}.")
SAME_NAME = _node("LLM_NODE_NAME_ALREADY_EXISTS", 3, "LLM node name: {} already used in graph: {}.")
# 2024.4 to 2025.0 take the graph's own directory instead
NO_MODELS_PATH = _node("INTERNAL_ERROR", 4, "LLM node requires models_path to be set.")
NO_DIRECTORY = _node("LLM_NODE_DIRECTORY_DOES_NOT_EXIST", 5, "LLM node models_path: {} does not exist.")
# until 2025.2 (no GGUF) a file is LLM_NODE_DIRECTORY_DOES_NOT_EXIST, too
NOT_A_DIRECTORY = _node(
    "LLM_NODE_PATH_DOES_NOT_EXIST_AND_NOT_GGUFFILE",
    5,
    "LLM node models_path: {} is not a directory nor GGUF file",
)
OLD_NOT_A_DIRECTORY = _node(
    "LLM_NODE_DIRECTORY_DOES_NOT_EXIST", 5, "LLM node models_path: {} is not a directory."
)
# from 2025.1, which brought pipeline_type
VLM_AS_TEXT = _node(
    "INTERNAL_ERROR",
    6,
    "Models directory content indicates VLM pipeline, but pipeline type is set to non-VLM type.",
)
TEXT_AS_VLM = _node(
    "INTERNAL_ERROR",
    6,
    "Models directory content indicates non-VLM pipeline, but pipeline type is set to VLM type.",
)
PARSER_NAME = _node(_LOAD, 7, "Unsupported {} specified in graph configuration.")  # from 2026.3
# Thrown outside of every try of the load; src/server.cpp ends the process.
CACHE_EVICTION = _node("INTERNAL_ERROR", 8, "Exception catch: CacheEvictionConfig.{} - will now terminate.")
DRAFT_WITHOUT_MODEL = _node(
    _LOAD, 9, "Draft model path is not provided, but draft scheduler options are set."
)
DRAFT_MODEL = _node(_LOAD, 9, "Error during draft model initialization for draft models_path: {}")
PLUGIN_CONFIG = _node(
    "PLUGIN_CONFIG_WRONG_FORMAT", 10, "Error during llm node plugin_config option parsing to JSON: {}"
)
LOAD = _node(_LOAD, 11, "Error during llm node initialization for models_path: {} exception: {}")

LOAD_CHECKS: tuple[LoadCheck, ...] = (
    *(NAME_TAKEN, NOT_READABLE, EMPTY, PARSE, QUEUE_SIZE),
    *(GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_SIDE_PACKET, NO_STREAM, INITIALIZE),
    *(NO_OPTIONS, NO_NAME, SAME_NAME, NO_MODELS_PATH, NO_DIRECTORY, NOT_A_DIRECTORY, OLD_NOT_A_DIRECTORY),
    *(VLM_AS_TEXT, TEXT_AS_VLM, PARSER_NAME, CACHE_EVICTION, DRAFT_WITHOUT_MODEL, DRAFT_MODEL),
    *(PLUGIN_CONFIG, LOAD),
)
