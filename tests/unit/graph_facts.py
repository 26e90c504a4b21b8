"""What OVMS's documentation, demos and tests say loads, and what its tests say does not, in our own words.

Every distinct set of options and every distinct kind of failure in the graphs that tests/corpus finds in a
clone of model_server (docs/corpus.md); the last two numbers of a fact are the first and last release with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ovms_edge.ovms.graph import render_graph

RELEASES = (
    "2024.4", "2024.5", "2025.0", "2025.1", "2025.2", "2025.2.1", "2025.3", "2025.4", "2025.4.1",
    "2026.0", "2026.1", "2026.2", "2026.2.1", "2026.3",
)  # fmt: skip
FIRST, LAST = RELEASES[0], RELEASES[-1]
DRAFT = "draft"

PARSE = "MEDIAPIPE_GRAPH_CONFIG_FILE_INVALID"
INITIALIZE = "MEDIAPIPE_GRAPH_INITIALIZATION_ERROR"
INPUT_NAME = "MEDIAPIPE_WRONG_INPUT_STREAM_PACKET_NAME"
OUTPUT_NAME = "MEDIAPIPE_WRONG_OUTPUT_STREAM_PACKET_NAME"
LOAD = "LLM_NODE_RESOURCE_STATE_INITIALIZATION_FAILED"
NO_DIRECTORY = "LLM_NODE_DIRECTORY_DOES_NOT_EXIST"
NOT_A_DIRECTORY = "LLM_NODE_PATH_DOES_NOT_EXIST_AND_NOT_GGUFFILE"


def releases(since: str, until: str) -> tuple[str, ...]:
    return RELEASES[RELEASES.index(since) : RELEASES.index(until) + 1]


def graph(options: str, version: str) -> str:
    """Return a graph with ``models_path: "./"`` and these options, and no other."""
    rendered = render_graph({"device": "CPU", "cache_size": 1}, version)
    start = rendered.index('      models_path: "./"')
    end = rendered.index("    }\n", start)
    return f'{rendered[:start]}      models_path: "./"\n      {options}\n{rendered[end:]}'


@dataclass(frozen=True)
class Loads:
    """Options that load a model of kind ``model`` (VLM or LM)."""

    model: str
    options: str
    since: str = FIRST
    until: str = LAST


_SPARSE = (
    "sparse_attention_config { mode: XATTENTION num_last_dense_tokens_in_prefill: 101 "
    "num_retained_start_tokens_in_cache: 129 num_retained_recent_tokens_in_cache: 1921 "
    "xattention_threshold: 0.9 xattention_block_size: 128 xattention_stride: 16 }"
)
_EVICTION = "start_size: 32 recent_size: 128 max_cache_size: 672"
_LIMITS = (
    "max_num_batched_tokens: 1024 cache_size: 1 max_num_seqs: 95 dynamic_split_fuse: false "
    "enable_prefix_caching: true"
)
_KV_CRUSH = "kv_crush_config { anchor_point_mode: ONES budget: 1 rng_seed: 42 }"
_U8 = 'plugin_config: \'{"KV_CACHE_PRECISION": "u8"}\''

# src/test/llm*, src/test/llm/*.pbtxt
_FROM_TESTS = (
    Loads("LM", ""),
    Loads("VLM", "", "2025.1"),
    Loads("LM", "cache_size: 1"),
    Loads("VLM", "cache_size: 1", "2025.1"),
    Loads("LM", "max_num_batched_tokens: 98 cache_size: 1"),
    Loads("VLM", "max_num_batched_tokens: 98 cache_size: 1", "2025.1"),
    Loads("LM", "max_num_batched_tokens: 98 cache_size: 1 block_size: 16", until="2024.5"),
    Loads("LM", f"{_LIMITS} block_size: 8", until="2024.5"),
    Loads("LM", f"{_LIMITS} best_of_limit: 3 max_tokens_limit: 700", "2024.5"),
    Loads("VLM", f"{_LIMITS} best_of_limit: 3 max_tokens_limit: 700", "2025.1"),
    Loads("LM", 'plugin_config: \'{"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}\''),
    Loads("VLM", 'plugin_config: \'{"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}\'', "2025.1"),
    Loads("LM", 'plugin_config: \'{"INFERENCE_PRECISION_HINT":"f32"}\''),
    Loads("LM", 'plugin_config: \'{"INFERENCE_PRECISION_HINT": "fp32"}\'', "2025.2"),
    Loads("LM", 'plugin_config: \'{"prompt_lookup": true, "INFERENCE_PRECISION_HINT": "f32"}\'', "2025.2"),
    Loads("VLM", "plugin_config: '{\"CACHE_DIR\": \"/tmp/node_cache\"}'", "2025.1"),
    Loads("LM", "cache_size: 1 pipeline_type: LM", "2025.1"),
    Loads("LM", "cache_size: 1 pipeline_type: LM_CB", "2025.1"),
    Loads("VLM", "cache_size: 1 pipeline_type: VLM", "2025.1"),
    Loads("VLM", "cache_size: 1 pipeline_type: VLM_CB", "2025.1"),
    Loads("LM", f'cache_size: 1 draft_models_path: "{DRAFT}"', "2025.0"),
    Loads("LM", 'cache_size: 1 enable_tool_guided_generation: true tool_parser: "phi4"', "2025.3"),
    *(
        Loads(model, options, since)
        for model in ("LM", "VLM")
        for since, options in (
            ("2025.2", f"cache_eviction_config {{ aggregation_mode: NORM_SUM {_EVICTION} }}"),
            ("2025.2", f"cache_eviction_config {{ {_EVICTION} apply_rotation: true }}"),
            ("2025.4", "cache_eviction_config { start_size: 1 recent_size: 2 max_cache_size: 4 }"),
            ("2025.4", f"cache_eviction_config {{ {_EVICTION} snapkv_window_size: 16 {_KV_CRUSH} }}"),
            ("2025.4", "sparse_attention_config { }"),
            ("2025.4", _SPARSE),
        )
    ),
)  # fmt: skip

# docs/llm, demos/*.md, and what export_model.py and pull mode write for them
_FROM_DOCUMENTATION = (
    Loads("LM", "cache_size: 4 plugin_config: '{\"KV_CACHE_PRECISION\": \"u8\", "
                "\"DYNAMIC_QUANTIZATION_GROUP_SIZE\": \"32\"}'"),
    Loads("LM", "plugin_config: '{}', dynamic_split_fuse: false, max_num_seqs: 256, "
                'max_num_batched_tokens:8192, cache_size: 8, device: "GPU"'),
    Loads("LM", f"cache_size: 10, {_U8}, enable_prefix_caching: false, max_num_seqs: 256, device: \"CPU\","),
    Loads("LM", "plugin_config: '{ }', enable_prefix_caching:  true, cache_size: 10, max_num_seqs:256,"),
    Loads("LM", "plugin_config: '{}', enable_prefix_caching: true, cache_size: 0, max_num_seqs: 256,",
          "2025.4"),
    Loads("LM", 'max_num_batched_tokens: 99999 device: "CPU" cache_size: 2'),
    Loads("VLM", 'cache_size: 10 device: "GPU" pipeline_type: VLM', "2025.1"),
    Loads("VLM", 'cache_size: 10 device: "NPU"', "2025.1"),
    Loads("LM", 'cache_size: 10 device: "NPU"', "2025.1"),
    Loads("LM", 'device: "NPU" plugin_config: \'{"CACHE_DIR": "models/.ov_cache", "MAX_PROMPT_LEN": 2048}\'',
          "2025.2"),
    Loads("LM", 'device: "NPU" plugin_config: \'{"DEVICE_PROPERTIES": {"NPU": {"MAX_PROMPT_LEN": 2048, '
                '"NPUW_LLM_ENABLE_PREFIX_CACHING": true}}}\'', "2026.0"),
    Loads("LM", 'device: "HETERO:GPU.0,GPU.1" pipeline_type: LM_CB '
                "plugin_config: '{\"MODEL_DISTRIBUTION_POLICY\": \"PIPELINE_PARALLEL\"}'", "2025.2"),
    Loads("LM", 'response_parser: "qwen3"', "2025.2", "2025.2.1"),
    *(
        Loads("LM", f'tool_parser: "{name}"', since)
        for name, since in (
            ("llama3", "2025.3"), ("phi4", "2025.3"), ("hermes3", "2025.3"), ("mistral", "2025.3"),
            ("qwen3coder", "2025.4"), ("devstral", "2026.0"),
        )
    ),
    Loads("LM", 'tool_parser: "gptoss" reasoning_parser: "gptoss"', "2025.4"),
    Loads("LM", f'draft_models_path: "./{DRAFT}", {_U8}', "2025.0"),
    Loads("LM", f'draft_models_path: "./{DRAFT}" draft_device: "CPU" draft_eagle3_mode: true max_num_seqs: 1',
          "2026.0"),
)  # fmt: skip

LOADS = (*_FROM_TESTS, *_FROM_DOCUMENTATION)


@dataclass(frozen=True)
class Refused:
    """A graph that OVMS's tests expect to fail with ``code``: ``change`` is what is wrong with it.

    ``options`` go into a good graph, then ``change`` is made. ``model`` is what models_path leads to: VLM,
    LM, ``none`` for a directory without a model, empty if it does not matter.
    """

    name: str
    code: str
    options: str = ""
    change: Callable[[str], str] = str
    model: str = ""
    since: str = FIRST
    until: str = LAST


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text, old
        return text.replace(old, new)

    return change


def without_options(text: str) -> str:
    return text[: text.index("  node_options")] + text[text.index("  input_stream_handler") :]


def node_twice(text: str) -> str:
    return text + text[text.index("node: {") :]


_INPUT = 'input_stream: "HTTP_REQUEST_PAYLOAD:input"\noutput'
_OUTPUT = 'output_stream: "HTTP_RESPONSE_PAYLOAD:output"\n\nnode'

_CONTEXTS = "LLM_NODE_EXECUTION_CONTEXTS:llm_ctx"

REFUSED = (
    # src/test/llm/llmnode_test.cpp, until 2025.0 src/test/llmnode_test.cpp
    Refused("no-name", "LLM_NODE_MISSING_NAME", change=replaced('  name: "LLMExecutor"\n', "")),
    Refused("no-options", "LLM_NODE_MISSING_OPTIONS", change=without_options),
    Refused("models-path-absent", NO_DIRECTORY, change=replaced('"./"', '"absent"'), model="LM"),
    Refused("models-path-is-a-file", NO_DIRECTORY, change=replaced('"./"', '"config.json"'), model="LM",
            until="2025.2.1"),
    Refused("models-path-is-a-file", NOT_A_DIRECTORY, change=replaced('"./"', '"config.json"'), model="LM",
            since="2025.3"),
    Refused("no-model-there", LOAD, model="none"),
    Refused("no-model-there-lm", LOAD, "pipeline_type: LM", model="none", since="2025.1"),
    Refused("no-model-there-lm-cb", LOAD, "pipeline_type: LM_CB", model="none", since="2025.1"),
    Refused("no-model-there-vlm", "INTERNAL_ERROR", "pipeline_type: VLM", model="none", since="2025.1"),
    Refused("no-model-there-vlm-cb", "INTERNAL_ERROR", "pipeline_type: VLM_CB", model="none", since="2025.1"),
    Refused("plugin-config-no-json", "PLUGIN_CONFIG_WRONG_FORMAT",
            'cache_size: 1 plugin_config: "[PERF_COUNT=TRUE]"', model="LM"),
    Refused("plugin-config-no-json-vlm", "PLUGIN_CONFIG_WRONG_FORMAT",
            'cache_size: 1 plugin_config: "[PERF_COUNT=TRUE]"', model="VLM", since="2025.1"),
    Refused("unknown-property", LOAD, 'device: "CPU" plugin_config: \'{"A": "B", "C": "D"}\'', model="LM"),
    Refused("node-twice", INITIALIZE, change=node_twice, model="LM"),
    # src/test/llm/visual_language_model/initialization_test.cpp
    Refused("text-pipeline-for-vlm", "INTERNAL_ERROR", "pipeline_type: LM_CB", model="VLM", since="2025.1"),
    Refused("draft-for-vlm", LOAD, f'draft_models_path: "{DRAFT}"', model="VLM", since="2025.1"),
    # src/test/mediapipeflow_test.cpp, on graphs of other calculators: the checks are the same
    Refused("empty", PARSE, change=lambda text: ""),
    Refused("two-inputs-of-one-name", INPUT_NAME,
            change=replaced(_INPUT, 'input_stream: "OTHER:input"\n' + _INPUT)),
    Refused("two-outputs-of-one-name", OUTPUT_NAME,
            change=replaced(_OUTPUT, 'output_stream: "OTHER:output"\n' + _OUTPUT)),
    Refused("input-of-three-parts", INITIALIZE,
            change=replaced(_INPUT, 'input_stream: "wrong:REQUEST:input"\noutput')),
    Refused("output-of-three-parts", INITIALIZE,
            change=replaced(_OUTPUT, 'output_stream: "TEST:TEST:output"\n\nnode')),
    Refused("request-without-response", "MEDIAPIPE_KFS_PASSTHROUGH_MISSING_OUTPUT_RESPONSE_TAG",
            change=replaced(_INPUT, 'input_stream: "REQUEST:input"\noutput')),
    Refused("response-without-request", "MEDIAPIPE_KFS_PASSTHROUGH_MISSING_INPUT_REQUEST_TAG",
            change=replaced(_OUTPUT, 'output_stream: "RESPONSE:output"\n\nnode')),
    # a graph that only a later OVMS writes: llm/http_llm_calculator.cc has the packet since 2026.2
    Refused("side-packet-of-2026", INITIALIZE,
            change=replaced('RESOURCES:llm"', f'RESOURCES:llm" input_side_packet: "{_CONTEXTS}"'),
            until="2026.1"),
    # mediapipegraphdefinition.cpp, resolveGraphQueueSize, since 2026.2
    Refused("queue-size-no-number", PARSE, change=lambda text: f"# OVMS_GRAPH_QUEUE_MAX_SIZE: MANY\n{text}",
            since="2026.2"),
    Refused("queue-size-negative", PARSE, change=lambda text: f"# OVMS_GRAPH_QUEUE_MAX_SIZE: -1\n{text}",
            since="2026.2"),
    # the fields come and go (src/llm/llm_calculator.proto)
    Refused("block-size", PARSE, "block_size: 32", since="2025.0"),
    Refused("draft-models-path", PARSE, f'draft_models_path: "{DRAFT}"', until="2024.5"),
    Refused("pipeline-type", PARSE, "pipeline_type: VLM_CB", until="2025.0"),
    Refused("eviction", PARSE, f"cache_eviction_config {{ {_EVICTION} }}", until="2025.1"),
    Refused("eviction-incomplete", PARSE, "cache_eviction_config { start_size: 32 }", since="2025.2"),
    Refused("eviction-kv-crush", PARSE, f"cache_eviction_config {{ {_EVICTION} kv_crush_config {{ }} }}",
            since="2025.2", until="2025.3"),
    Refused("response-parser", PARSE, 'response_parser: "qwen3"', until="2025.1"),
    Refused("response-parser-later", PARSE, 'response_parser: "qwen3"', since="2025.3"),
    Refused("tool-parser", PARSE, 'tool_parser: "phi4"', until="2025.2.1"),
    Refused("sparse-attention", PARSE, _SPARSE, until="2025.3"),
    Refused("eagle3", PARSE, "draft_eagle3_mode: true", until="2025.4.1"),
    Refused("chat-template-mode", PARSE, "chat_template_mode: JINJA", until="2026.2.1"),
    Refused("cache-interval", PARSE, "cache_interval_multiplier: 2", until="2026.2"),
    Refused("omni", PARSE, "pipeline_type: OMNI", since="2025.1", until="2026.2.1"),
    Refused("no-models-path", PARSE, change=replaced('models_path: "./"', ""), until="2025.0"),
    Refused("no-models-path-2025.1", "INTERNAL_ERROR", change=replaced('models_path: "./"', ""),
            since="2025.1", until="2025.1"),
    Refused("no-models-path-later", PARSE, change=replaced('models_path: "./"', ""), since="2025.2"),
)  # fmt: skip
