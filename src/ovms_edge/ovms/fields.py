"""The field matrix of ``mediapipe.LLMCalculatorOptions``: which OVMS version knows which option.

OVMS parses ``graph.pbtxt`` with the messages compiled into it, so one field that its version does not know
fails the whole graph. Source: openvinotoolkit/model_server, src/llm/llm_calculator.proto at the tags
v2024.4 to v2026.3. Only names count in a text-format graph: the field numbers were reassigned twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from ovms_edge.errors import EdgeError

Scalar = str | int | float | bool
FieldType = Literal["string", "uint64", "uint32", "float", "bool", "enum", "message"]


@dataclass(frozen=True)
class Field:
    """One option of a graph.

    ``default`` is None where OVMS declares none, ``choices`` are an enum's names in the order of their values
    (from 0), ``message`` holds the fields of a nested message.
    """

    name: str
    type: FieldType
    required: bool = False
    default: Scalar | None = None
    choices: tuple[str, ...] = ()
    message: Mapping[str, Field] | None = None


Fields = Mapping[str, Field]


def _fields(*fields: Field) -> Fields:
    return MappingProxyType({field.name: field for field in fields})


def _text(name: str, default: str | None = None, *, required: bool = False) -> Field:
    return Field(name, "string", required, default)


def _uint64(name: str, default: int | None = None, *, required: bool = False) -> Field:
    return Field(name, "uint64", required, default)


def _bool(name: str, default: bool | None = None) -> Field:
    return Field(name, "bool", default=default)


def _enum(name: str, default: str | None, *choices: str) -> Field:
    return Field(name, "enum", default=default, choices=choices)


def _message(name: str, fields: Fields, *, required: bool = False) -> Field:
    return Field(name, "message", required, message=fields)


_MAX_TOKENS_LIMIT = Field("max_tokens_limit", "uint32")
_FIRST = _fields(
    _text("models_path", required=True),
    _uint64("max_num_batched_tokens", 256),
    _uint64("cache_size", 8),  # GiB
    _uint64("block_size", 32),
    _uint64("max_num_seqs", 256),
    _bool("dynamic_split_fuse", True),
    _text("device", "CPU"),
    _text("plugin_config", ""),
    Field("best_of_limit", "uint32", default=20),
    replace(_MAX_TOKENS_LIMIT, default=4096),
    _bool("enable_prefix_caching", False),
)

_PIPELINE_2025_1 = _fields(
    *(replace(field, default=None) if field.name == "max_tokens_limit" else field
      for field in _FIRST.values() if field.name != "block_size")
)  # fmt: skip
_WRAPPED_PIPELINE_2025_1 = _fields(_message("pipeline_config", _PIPELINE_2025_1, required=True))
_BATCHED_PIPELINE_2025_1 = _fields(
    _message("main_pipeline_config", _PIPELINE_2025_1, required=True),
    _message("draft_pipeline_config", _PIPELINE_2025_1),
)

_EVICTION_2025_2 = _fields(
    _enum("aggregation_mode", "SUM", "SUM", "NORM_SUM"),
    _uint64("start_size", required=True),
    _uint64("recent_size", required=True),
    _uint64("max_cache_size", required=True),
    _bool("apply_rotation", False),
)
_KV_CRUSH = _fields(
    _uint64("budget", 0),
    _enum("anchor_point_mode", "RANDOM", "RANDOM", "ZEROS", "ONES", "MEAN", "ALTERNATING"),
    _uint64("rng_seed", 0),
)
_EVICTION_2025_4 = _fields(
    *{
        **_EVICTION_2025_2,
        "aggregation_mode": replace(_EVICTION_2025_2["aggregation_mode"], default="NORM_SUM"),
    }.values(),
    _uint64("snapkv_window_size", 8),
    _message("kv_crush_config", _KV_CRUSH),
)
_SPARSE_ATTENTION = _fields(
    _enum("mode", "TRISHAPE", "TRISHAPE", "XATTENTION"),
    _uint64("num_last_dense_tokens_in_prefill"),
    _uint64("num_retained_start_tokens_in_cache"),
    _uint64("num_retained_recent_tokens_in_cache"),
    Field("xattention_threshold", "float"),
    _uint64("xattention_block_size"),
    _uint64("xattention_stride"),
)


@dataclass(frozen=True)
class _Change:
    """What one OVMS version changed against the one before it: fields new or redefined, names removed."""

    put: tuple[Field, ...] = ()
    removed: tuple[str, ...] = ()


_CHANGES: Mapping[tuple[int, int, int], _Change] = {
    (2024, 4, 0): _Change(tuple(_FIRST.values())),
    (2024, 5, 0): _Change(),
    (2025, 0, 0): _Change(
        (
            _text("draft_models_path"),
            _text("draft_device"),
            _uint64("draft_max_num_batched_tokens"),
            _uint64("draft_cache_size"),
            _uint64("draft_block_size"),
            _uint64("draft_max_num_seqs"),
            _bool("draft_dynamic_split_fuse"),
        ),
        removed=("block_size",),
    ),
    (2025, 1, 0): _Change(
        (
            _text("models_path"),
            _MAX_TOKENS_LIMIT,
            _enum("pipeline_type", "AUTO", "LM", "VLM", "LM_CB", "VLM_CB", "AUTO"),
            # a oneof in the .proto; experimental, gone in the next version
            _message("continuous_batching_pipeline_config", _BATCHED_PIPELINE_2025_1),
            _message("visual_language_model_pipeline_config", _WRAPPED_PIPELINE_2025_1),
            _message("llm_pipeline_config", _WRAPPED_PIPELINE_2025_1),
        )
    ),
    (2025, 2, 0): _Change(
        (
            _text("models_path", required=True),
            _message("cache_eviction_config", _EVICTION_2025_2),
            _text("response_parser"),
        ),
        removed=(
            "continuous_batching_pipeline_config",
            "visual_language_model_pipeline_config",
            "llm_pipeline_config",
        ),
    ),
    (2025, 3, 0): _Change(
        (
            _text("tool_parser"),
            _text("reasoning_parser"),
            _bool("enable_tool_guided_generation", False),
        ),
        removed=("response_parser",),
    ),
    (2025, 4, 0): _Change(
        (
            _uint64("cache_size", 0),  # GiB; 0 grows on demand
            _message("cache_eviction_config", _EVICTION_2025_4),
            _message("sparse_attention_config", _SPARSE_ATTENTION),
        )
    ),
    (2026, 0, 0): _Change((_bool("draft_eagle3_mode", False),)),
    (2026, 1, 0): _Change(),
    (2026, 2, 0): _Change(),
    (2026, 2, 1): _Change((_uint64("cache_interval_multiplier"),)),
    (2026, 3, 0): _Change(
        (
            _enum("pipeline_type", "AUTO", "LM", "VLM", "LM_CB", "VLM_CB", "OMNI", "AUTO"),
            _text("device"),
            _enum("chat_template_mode", None, "MINJA", "JINJA"),
        )
    ),
}

DEFAULT_OVMS_VERSION = "2025.4.1"  # of the image that the roles run
KNOWN_VERSIONS = tuple(sorted({f"{major}.{minor}" for major, minor, _ in _CHANGES}))
_VERSION = re.compile(r"(\d{4})\.(\d{1,2})(?:\.(\d{1,3}))?")


def fields_for(version: str) -> Fields:
    """Return the fields that OVMS ``version`` (such as ``2025.4.1``) knows, by name in a stable order.

    Raises EdgeError for text that is no version and for a version that the matrix does not hold.
    """
    match = _VERSION.fullmatch(version)
    wanted = tuple(int(part or 0) for part in match.groups()) if match else ()
    if not match or not any(wanted[:2] == column[:2] for column in _CHANGES):
        raise EdgeError(
            f"OVMS version {version!r} is not in the field matrix",
            f"use one of {', '.join(KNOWN_VERSIONS)} (patch versions such as 2025.4.1 included)",
        )
    fields: dict[str, Field] = {}
    for column, change in _CHANGES.items():
        if column <= wanted:
            fields.update({field.name: field for field in change.put})
            for name in change.removed:
                del fields[name]
    return MappingProxyType(fields)
