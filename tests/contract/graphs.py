"""Graphs, and what becomes of them: the server's tests and the checker's are held to this one table."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.contract.support import DEVICE, GRAPH, graph

PARSE = "MEDIAPIPE_GRAPH_CONFIG_FILE_INVALID"
INITIALIZE = "MEDIAPIPE_GRAPH_INITIALIZATION_ERROR"
LOAD = "LLM_NODE_RESOURCE_STATE_INITIALIZATION_FAILED"
PLUGIN = "PLUGIN_CONFIG_WRONG_FORMAT"
NO_DIRECTORY = "LLM_NODE_DIRECTORY_DOES_NOT_EXIST"

WEIGHTS = "/weights"  # where the model is mounted


@dataclass(frozen=True)
class Bad:
    """A graph that is refused with ``code``.

    ``models_path`` is where it looks for a model. ``unseen`` says why the checker cannot know.
    """

    text: str
    code: str
    models_path: str = WEIGHTS
    unseen: str = ""


def changed(old: str, new: str) -> str:
    text = graph()
    assert old in text, old
    return text.replace(old, new)


def at(models_path: str, code: str, options: str = "") -> Bad:
    return Bad(graph(options, models_path=models_path), code, models_path)


def plugin(json_text: str) -> str:
    return graph(f"plugin_config: '{json_text}'")


def _remove(copy: Path) -> None:
    copy.unlink()


def _halve(copy: Path) -> None:
    half = copy.read_bytes()[: copy.stat().st_size // 2]
    copy.unlink()  # it may be a hard link: the model itself stays as it is
    copy.write_bytes(half)


# directories below /models with a copy of the model: its file, and what has happened to it
DAMAGED: dict[str, tuple[str, Callable[[Path], None]]] = {
    "truncated": ("openvino_language_model.bin", _halve),
    "cut": ("openvino_language_model.xml", _halve),
    "partial": ("openvino_vision_embeddings_merger_model.bin", _remove),
}
EMPTY = "nothing"


def damage(models: Path, copy_model: Callable[[Path], Path]) -> None:
    """Make the directories that the graphs name, with copies of the model."""
    for name, (file, happen) in DAMAGED.items():
        happen(copy_model(models / name) / file)
    (models / EMPTY).mkdir()


_INPUT = 'input_stream: "HTTP_REQUEST_PAYLOAD:input"\noutput'
_LOOP_INPUT = 'input_stream: "LOOPBACK:loopback"'
_LOOP_OUTPUT = 'output_stream: "LOOPBACK:loopback"'
_SIDE_PACKET = 'input_side_packet: "LLM_NODE_RESOURCES:llm"'
_CONTEXTS = "LLM_NODE_EXECUTION_CONTEXTS:llm_ctx"
_OUTPUT = 'output_stream: "HTTP_RESPONSE_PAYLOAD:output"\nnode'
_NODE_OPTIONS = GRAPH[GRAPH.index("  node_options") : GRAPH.index("  input_stream_handler")]
_SECOND_OPTIONS = _NODE_OPTIONS.replace("OPTIONS", f'models_path: "{WEIGHTS}"')
_NODE = GRAPH[GRAPH.index("node {") :].replace("OPTIONS", f'models_path: "{WEIGHTS}" device: "{DEVICE}"')
# the sample of this project's seed: its calculator, options and values
_SEED = """
node { calculator: "ModelAPISessionCalculator" output_side_packet: "SESSION:session"
  node_options { [type.googleapis.com/mediapipe.ModelAPISidePacketCalculatorOptions] {
    servable_name: "Qwen/Qwen2.5-VL-7B-Instruct-ov-int8" servable_version: "0" base_path: "/models" } }
  node_options { [type.googleapis.com/mediapipe.LLMNodeOptions] {
    max_num_seqs: 1 cache_size: 32 block_size: 32 max_num_batched_tokens: 256 enable_prefix_caching: true
    dynamic_split_fuse: true plugin_config { key: "NUM_STREAMS" value: "1" }
    plugin_config { key: "CACHE_DIR" value: "/models/cache" } } } }
"""

_NOT_PARSED = {
    "empty": "",
    "seed": _SEED,
    "json": '{"node": []}',
    "byte-order-mark": "\ufeff" + graph(),
    "unfilled-template": graph("cache_size: {{ cache_size }}"),
    "unclosed": graph().rstrip().removesuffix("}"),
    "removed-field": graph("block_size: 32"),
    "field-of-2026": graph("draft_eagle3_mode: true"),
    "response-parser": graph('response_parser: "hermes3"'),
    "misspelt": graph("cache_sise: 4"),
    "field-twice": graph("cache_size: 1 cache_size: 2"),
    "models-path-twice": graph('models_path: "/weights"'),
    "text-for-number": graph('cache_size: "4"'),
    "fraction-for-number": graph("cache_size: 1.5"),
    "negative": graph("cache_size: -1"),
    "beyond-uint32": graph("best_of_limit: 4294967296"),
    "no-boolean": graph("enable_prefix_caching: yes"),
    "unquoted-text": graph("tool_parser: phi4"),
    "unknown-enum-value": graph("pipeline_type: OMNI"),
    "eviction-incomplete": graph("cache_eviction_config { start_size: 32 }"),
    "plugin-config-object": graph('plugin_config { key: "NUM_STREAMS" value: "1" }'),
    "no-models-path": GRAPH.replace("OPTIONS", f'device: "{DEVICE}"'),
    "sync-wait-time": changed("sync_set {", "sync_wait_time: 1 sync_set {"),
    "other-options": changed("mediapipe.LLMCalculatorOptions", "mediapipe.LLMNodeOptions"),
}
_NOT_INITIALIZED = {
    "unknown-calculator": changed("HttpLLMCalculator", "ModelAPISessionCalculator"),
    "input-of-three-parts": changed(_INPUT, 'input_stream: "wrong:REQUEST:input"\noutput'),
    "output-of-three-parts": changed(_OUTPUT, 'output_stream: "TEST:TEST:output"\nnode'),
    "tag-in-small-letters": changed('"LOOPBACK:loopback"', '"loopback:loopback"'),
    "tag-twice": changed(_INPUT, 'input_stream: "HTTP_REQUEST_PAYLOAD:second"\n' + _INPUT),
    "request-not-produced": changed('PAYLOAD:input"\n  input_side', 'PAYLOAD:in"\n  input_side'),
    "no-back-edge": changed("back_edge: true", "back_edge: false"),
    "no-stream-info": changed('input_stream_info { tag_index: "LOOPBACK:0" back_edge: true }', ""),
    "stream-info-of-nothing": changed('tag_index: "LOOPBACK:0" back_edge', 'tag_index: "LOOP:0" back_edge'),
    "no-loopback-input": changed(_LOOP_INPUT, ""),
    "no-loopback-output": changed(_LOOP_OUTPUT, ""),
    "loopback-from-the-request": changed(_LOOP_INPUT, _LOOP_INPUT.replace("loopback", "input")),
    "no-side-packet": changed(_SIDE_PACKET, ""),
    "side-packet-of-2026": changed(_SIDE_PACKET, f'{_SIDE_PACKET} input_side_packet: "{_CONTEXTS}"'),
    "one-output-more": changed(_LOOP_OUTPUT, f'{_LOOP_OUTPUT} output_stream: "MORE:more"'),
    "options-twice": changed("  input_stream_handler {", _SECOND_OPTIONS + "  input_stream_handler {"),
    "node-twice": graph() + _NODE,
}  # fmt: skip

BAD = {
    **{name: Bad(text, PARSE) for name, text in _NOT_PARSED.items()},
    "no-input": Bad(changed(_INPUT, "output"), "INTERNAL_ERROR"),
    "no-output": Bad(changed(_OUTPUT, "node"), "INTERNAL_ERROR"),
    "two-inputs-of-one-name": Bad(
        changed(_INPUT, 'input_stream: "OTHER:input"\n' + _INPUT), "MEDIAPIPE_WRONG_INPUT_STREAM_PACKET_NAME"
    ),
    "two-outputs-of-one-name": Bad(
        changed(_OUTPUT, 'output_stream: "OTHER:output"\n' + _OUTPUT),
        "MEDIAPIPE_WRONG_OUTPUT_STREAM_PACKET_NAME",
    ),
    "kserve-request": Bad(
        changed(_INPUT, 'input_stream: "REQUEST:input"\noutput'),
        "MEDIAPIPE_KFS_PASSTHROUGH_MISSING_OUTPUT_RESPONSE_TAG",
    ),
    "kserve-response": Bad(
        changed(_OUTPUT, 'output_stream: "RESPONSE:output"\nnode'),
        "MEDIAPIPE_KFS_PASSTHROUGH_MISSING_INPUT_REQUEST_TAG",
    ),
    "tflite": Bad(changed(_INPUT, 'input_stream: "TFLITE_TENSOR:input"\noutput'), "NOT_IMPLEMENTED"),
    **{name: Bad(text, INITIALIZE) for name, text in _NOT_INITIALIZED.items()},
    "no-options": Bad(GRAPH.replace(_NODE_OPTIONS, ""), "LLM_NODE_MISSING_OPTIONS"),
    "no-name": Bad(changed('  name: "LLMExecutor"\n', ""), "LLM_NODE_MISSING_NAME"),
    "host-path": at("/opt/ovms-service/models", NO_DIRECTORY),
    "host-path-of-the-seed": at("/models/Qwen/Qwen2.5-VL-7B-Instruct-ov-int8", NO_DIRECTORY),
    "file-for-directory": at(
        f"{WEIGHTS}/openvino_language_model.xml", "LLM_NODE_PATH_DOES_NOT_EXIST_AND_NOT_GGUFFILE"
    ),
    "empty-directory": at(f"/models/{EMPTY}", LOAD),
    "vision-pipeline-in-empty-directory": at(f"/models/{EMPTY}", "INTERNAL_ERROR", "pipeline_type: VLM_CB"),
    "text-pipeline": Bad(graph("pipeline_type: LM_CB"), "INTERNAL_ERROR"),
    "legacy-text-pipeline": Bad(graph("pipeline_type: LM"), "INTERNAL_ERROR"),
    "draft-without-model": Bad(graph("draft_cache_size: 1"), LOAD),
    "draft-for-vision": Bad(graph('draft_models_path: "/weights"'), LOAD),
    "plugin-config-no-json": Bad(plugin("CACHE_DIR=/cache"), PLUGIN),
    "plugin-config-list": Bad(plugin("[]"), PLUGIN),
    "plugin-config-null": Bad(plugin('{"CACHE_DIR": null}'), PLUGIN),
    "plugin-config-array": Bad(plugin('{"NUM_STREAMS": [1]}'), PLUGIN),
    "plugin-config-trailing-comma": Bad(plugin('{"NUM_STREAMS": 1,}'), PLUGIN),
    "plugin-config-nested": Bad(plugin('{"A": {"B": 1}}'), PLUGIN),
    "plugin-config-unknown-key": Bad(plugin('{"NO_SUCH_PROPERTY": 1}'), LOAD),
    "plugin-config-small-letters": Bad(plugin('{"num_streams": 1}'), LOAD),
    "plugin-config-kv-precision": Bad(plugin('{"KV_CACHE_PRECISION": "int8"}'), LOAD),
    "plugin-config-hint": Bad(plugin('{"PERFORMANCE_HINT": "FAST"}'), LOAD),
    "prompt-lookup-for-vision": Bad(plugin('{"prompt_lookup": true}'), LOAD),
    "cache-too-large": Bad(graph("cache_size: 100000"), LOAD),
    "no-gpu": Bad(graph(device="GPU"), LOAD, unseen="no text says whether the server has a GPU"),
    "truncated-weights": at("/models/truncated", LOAD),
    "truncated-xml": at("/models/cut", LOAD),
    "missing-vision-encoder": at("/models/partial", LOAD),
}

GOOD = {
    "everything-portable": graph(
        "cache_size: 1 max_num_batched_tokens: 512 dynamic_split_fuse: false enable_prefix_caching: true "
        "best_of_limit: 2 max_tokens_limit: 100 pipeline_type: VLM_CB "
        'plugin_config: \'{"KV_CACHE_PRECISION": "u8", "CACHE_DIR": "/tmp/cache", "NUM_STREAMS": 1}\''
    ),
    "other-input-name": GRAPH.replace("PAYLOAD:input", "PAYLOAD:request").replace(
        "OPTIONS", f'models_path: "{WEIGHTS}" device: "{DEVICE}" plugin_config: \'\''
    ),
    "output-not-produced": changed('PAYLOAD:output"\n  input', 'PAYLOAD:other"\n  input'),
    "other-side-packet-name": changed("LLM_NODE_RESOURCES:llm", "LLM_NODE_RESOURCES:model"),
    "defaults-only": GRAPH.replace("OPTIONS", f'models_path: "{WEIGHTS}"'),
    "cache-on-demand": graph("cache_size: 0"),
    "plugin-config-empty-object": plugin("{}"),
    "precision-that-is-none": plugin('{"INFERENCE_PRECISION_HINT": "fp32"}'),
    "separators": graph("cache_size: 1, enable_prefix_caching: true; best_of_limit: 2,"),
    "other-ways-to-write": graph("cache_size: 0x1 dynamic_split_fuse: True enable_prefix_caching: 1 # so\n"),
    "angle-brackets": changed('sync_set { tag_index: "LOOPBACK:0" }', 'sync_set < tag_index: "LOOPBACK:0" >'),
    "type-with-blanks": changed("type.googleapis.com/mediapipe", "type.googleapis.com / mediapipe"),
    "windows-line-ends": graph().replace("\n", "\r\n"),
    "queue-comment-of-2026": "# OVMS_GRAPH_QUEUE_MAX_SIZE: MANY\n" + graph(),
    "tag-with-index": changed(_LOOP_INPUT, _LOOP_INPUT.replace(":loop", ":0:loop")),
}  # fmt: skip

# OVMS loads these; the stand-in refuses them because it does not offer what they ask for
NOT_OFFERED = {
    "eviction": graph("cache_eviction_config { start_size: 32 recent_size: 128 max_cache_size: 672 }"),
    "sparse-attention": graph("sparse_attention_config { mode: XATTENTION }"),
}

# MediaPipe refuses these; the stand-in does not look at stream handlers, and loads them
NOT_LOOKED_AT = {
    "unknown-handler": Bad(
        changed('input_stream_handler: "SyncSetInputStreamHandler"', 'input_stream_handler: "NoSuchHandler"'),
        INITIALIZE,
    ),
}


def copy_directory(source: Path) -> Callable[[Path], Path]:
    """Return what copies ``source`` to where it is told."""
    return lambda target: Path(shutil.copytree(source, target))
