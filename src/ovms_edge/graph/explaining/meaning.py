"""What each option means on this host, with this model, in this OVMS.

Sources: model_server v2025.4.1, src/llm/servable_initializer.cpp (pipelines), src/llm/apis/
openai_completions.cpp (limits of a request), src/llm/language_model/continuous_batching/
servable_initializer.cpp (scheduler and draft model), v2026.3 src/llm/llm_calculator.proto (chat templates);
openvino.genai 2025.4.1.0, src/cpp/include/openvino/genai/scheduler_config.hpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ovms_edge.graph.explaining.setting import Setting
from ovms_edge.ovms.kv_cache import DEFAULT_TOKENS_PER_REQUEST, release_of, zero_cache_size

# src/llm/apis/openai_completions.cpp
_LIMIT_IS_DEFAULT_SINCE = (2025, 1)
LEGACY = ("LM", "VLM", "OMNI")

_SCHEDULER_OPTIONS = (
    "cache_size", "max_num_batched_tokens", "max_num_seqs", "dynamic_split_fuse", "enable_prefix_caching",
    "cache_eviction_config", "sparse_attention_config", "cache_interval_multiplier",
)  # fmt: skip


def meaning_of(path: str, setting: Setting) -> str:
    """Return what the option ``path`` means, in one line."""
    top = path.partition(".")[0]
    if top in _SCHEDULER_OPTIONS and setting.pipeline in LEGACY:
        return f"no effect: pipeline {setting.pipeline} answers one request at a time, with no pool"
    if path in _MEANINGS:
        return _MEANINGS[path](setting)
    if path.startswith("draft_") and path != "draft_models_path":
        return _draft(path, setting)
    if path in _SWITCHES:
        on, off = _SWITCHES[path]
        return on if setting.values[path] else off
    return _NESTED.get(path.rpartition(".")[2], "")


def _models_path(setting: Setting) -> str:
    path = setting.values["models_path"]
    if path is None:
        return "the model is named by an experimental message of this version"
    if str(path).startswith("/"):
        return "as the container sees it"
    return "in the directory that config.json names for this graph"


def _cache_size(setting: Setting) -> str:
    size, per_token = setting.values["cache_size"], setting.token_bytes
    size_of_token = f"{per_token / 1024:.0f} KiB" if per_token >= 1024 else f"{per_token} bytes"
    token = f"; a token takes {size_of_token} at {setting.kv_precision}" if per_token else ""
    if size == 0:
        return zero_cache_size(setting.ovms_version) + token
    holds = f", {setting.pool_tokens} tokens" if per_token else ""
    return f"KV cache of {size} GiB{holds}, allocated at the first request{token}"


def _max_num_seqs(setting: Setting) -> str:
    count = setting.values["max_num_seqs"]
    text = f"{count} requests at once, others wait" if count != 1 else "one request at a time, others wait"
    if not setting.pool_tokens:
        return text
    holds = setting.pool_tokens // DEFAULT_TOKENS_PER_REQUEST
    return f"{text}; the KV cache holds {holds} of {DEFAULT_TOKENS_PER_REQUEST} tokens"


def _max_num_batched_tokens(setting: Setting) -> str:
    text = "tokens computed in one step, of all requests together"
    if setting.values["dynamic_split_fuse"] is False:
        return f"{text}; a longer prompt ends the server, since it may not be split"
    return text


def _dynamic_split_fuse(setting: Setting) -> str:
    if setting.values["dynamic_split_fuse"]:
        return "long prompts are computed in parts, beside the answers of other requests"
    return "a prompt is computed in one step: none may be longer than max_num_batched_tokens"


def _prefix_caching(setting: Setting) -> str:
    if not setting.values["enable_prefix_caching"]:
        return "KV cache of a request is freed with its answer"
    where = "so the cache keeps growing" if setting.values["cache_size"] == 0 else "until the pool is full"
    return f"KV cache of answered requests stays, {where}: an equal beginning is not computed again"


def _device(setting: Setting) -> str:
    device = setting.values.get("device")
    if not device:
        return "OVMS takes what OpenVINO recommends on the host"
    if str(device).startswith("GPU"):
        discrete = setting.host is not None and setting.host.gpu_bytes is not None
        where = "the GPU's own memory" if discrete else "the host's memory, if the GPU is integrated"
        return f"weights and KV cache lie in {where}"
    if device == "NPU":
        return "one request at a time; the pipeline has no KV pool"
    return "weights and KV cache lie in the host's memory"


def _pipeline_type(setting: Setting) -> str:
    pipeline = setting.pipeline
    if pipeline is None:
        return "VLM_CB if the directory holds a vision-language model, else LM_CB (--model says which)"
    kind = {"V": "pictures and text", "L": "text alone", "O": "pictures, sound and text"}[pipeline[0]]
    how = (
        "continuous batching"
        if pipeline.endswith("_CB")
        else "one request at a time, options of the pool unused"
    )
    chosen = f"{pipeline}: " if setting.values["pipeline_type"] == "AUTO" else ""
    return f"{chosen}{kind}, {how}"


def _max_tokens_limit(setting: Setting) -> str:
    limit = setting.values["max_tokens_limit"]
    if limit is None:
        return "no limit: an answer may take the KV cache up to the model's length"
    text = f"max_tokens of a request must be below {limit}"
    if release_of(setting.ovms_version) < _LIMIT_IS_DEFAULT_SINCE:
        return text
    return f"{text}; a request that sets none gets {limit}"


def _plugin_config(setting: Setting) -> str:
    return "properties of the device, see below" if setting.properties else "no properties: OpenVINO decides"


def _best_of_limit(setting: Setting) -> str:
    return f"best_of of a request must be below {setting.values['best_of_limit']}"


def _draft(path: str, setting: Setting) -> str:
    if not setting.values.get("draft_models_path"):
        unset = setting.values[path] in (None, False)
        return "no draft model" if unset else "OVMS refuses to load it without draft_models_path"
    if path == "draft_eagle3_mode":
        return _SWITCHES[path][0 if setting.values[path] else 1]
    if setting.values[path] is None:
        return f"as {path.removeprefix('draft_')}"
    return "of the draft model"


_MEANINGS: Mapping[str, Callable[[Setting], str]] = {
    "models_path": _models_path,
    "cache_size": _cache_size,
    "max_num_seqs": _max_num_seqs,
    "max_num_batched_tokens": _max_num_batched_tokens,
    "dynamic_split_fuse": _dynamic_split_fuse,
    "enable_prefix_caching": _prefix_caching,
    "device": _device,
    "pipeline_type": _pipeline_type,
    "max_tokens_limit": _max_tokens_limit,
    "plugin_config": _plugin_config,
    "best_of_limit": _best_of_limit,
    "block_size": lambda _: "tokens of a KV block; without effect since OVMS 2024.5",
    "cache_interval_multiplier": lambda _: "steps in which the KV cache is allocated; unset, by the model",
    "chat_template_mode": lambda _: "what renders chat templates; unset, JINJA for LM and MINJA for VLM",
}

# what it means set, or true, and what it means otherwise
_SWITCHES: Mapping[str, tuple[str, str]] = {
    "draft_models_path": (
        "a small model drafts tokens that the large one checks: its weights and KV cache come on top",
        "no speculative decoding",
    ),
    "draft_eagle3_mode": ("the draft model is an EAGLE-3 head", "a plain draft model"),
    "cache_eviction_config": (
        "old tokens leave the KV cache: less memory, less exact answers",
        "off: every token of a request stays",
    ),
    "sparse_attention_config": ("prompts are computed faster and less exactly", "off"),
    "response_parser": ("finds tool calls and reasoning in answers", "answers as they are"),
    "tool_parser": ("finds tool calls in answers", "tool calls stay text"),
    "reasoning_parser": ("takes reasoning out of the answer", "reasoning stays in the answer"),
    "enable_tool_guided_generation": (
        "tool calls are held to their schema",
        "tool calls are not held to a schema",
    ),
}

_NESTED: Mapping[str, str] = {
    "aggregation_mode": "how the importance of a token is summed",
    "start_size": "tokens kept from the beginning",
    "recent_size": "tokens kept from the end",
    "max_cache_size": "tokens that a request keeps in the KV cache",
    "apply_rotation": "positions are corrected after tokens left",
    "snapkv_window_size": "last tokens of a prompt that decide which others matter",
    "kv_crush_config": "keeps some evictable tokens that stand for the rest",
    "budget": "blocks that KVCrush keeps, 0: off",
    "anchor_point_mode": "what KVCrush compares tokens with",
    "rng_seed": "seed of KVCrush's random anchor",
    "mode": "which attention is left out",
    "num_last_dense_tokens_in_prefill": "tokens at the end of a prompt with full attention",
    "num_retained_start_tokens_in_cache": "tokens at the beginning that stay",
    "num_retained_recent_tokens_in_cache": "tokens at the end that stay",
    "xattention_threshold": "how much attention is kept",
    "xattention_block_size": "tokens of a block that XAttention judges",
    "xattention_stride": "every how many tokens XAttention looks",
}
