"""The KV cache: ``cache_size`` against the host's memory, and ``cache_eviction_config``.

OVMS allocates the pool at the first request, and ends its process if that fails (model_server v2025.4.1
src/llm/language_model/continuous_batching/llm_executor.hpp), so what its load does not refuse may still kill
it. Eviction: openvino.genai 2025.4.1.0 src/cpp/include/openvino/genai/cache_eviction.hpp and
src/cpp/src/continuous_batching/cache_eviction.cpp, the same from 2025.2 to 2026.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ovms_edge.errors import EdgeError
from ovms_edge.finding import Finding
from ovms_edge.graph.checks.llm_case import LEGACY_PIPELINES, LlmCase
from ovms_edge.graph.checks.plugin_json import plugin_properties
from ovms_edge.ovms import status
from ovms_edge.ovms.kv_cache import (
    checked_at_load,
    kv_precision_in,
    too_large_cache_size,
    zero_cache_size,
)
from ovms_edge.ovms.memory import GIB, HostMemory, ModelMemory, plan_memory
from ovms_edge.ovms.memory_places import WEIGHTS_FACTOR_PERCENT, places

_GROWS_SINCE = (2025, 0)
_SIZES = ("start_size", "recent_size", "max_cache_size")
_BLOCK_TOKENS = {"CPU": 32, "GPU": 16}


def check_cache(case: LlmCase) -> Iterator[Finding]:
    """Yield what OVMS makes of the KV cache's options."""
    if case.pipeline in LEGACY_PIPELINES:
        return  # they do not read them
    yield from _cache_size(case)
    yield from _eviction(case)


def _cache_size(case: LlmCase) -> Iterator[Finding]:
    size = case.options.number("cache_size")
    if "cache_size" in case.options.entries and not case.options.has("cache_size"):
        return  # no number: protobuf has refused it
    if not case.options.has("cache_size"):
        meaning = zero_cache_size(case.ovms_version) if size == 0 else f"it is {size} GiB"
        yield case.warned(
            "cache_size_not_set",
            f"cache_size is not set: {meaning}; the default is not the same in every version",
            "set it in GiB, as `ovms-edge plan-memory` computes it",
            "cache_size",
        )
    elif size == 0 and case.release < _GROWS_SINCE:
        yield case.refused(
            status.LOAD,
            f"cache_size is 0: {zero_cache_size(case.ovms_version)}",
            "set it to 1 or more GiB",
            "cache_size",
        )
    elif size == 0:
        yield case.warned(
            "cache_size_zero",
            f"cache_size is 0: {zero_cache_size(case.ovms_version)}",
            "set it in GiB, as `ovms-edge plan-memory` computes it",
            "cache_size",
        )
    if size > 0 and case.host is not None:
        yield from _memory(case, size, case.host)


def _memory(case: LlmCase, size: int, host: HostMemory) -> Iterator[Finding]:
    model = case.model.memory if case.model is not None else None
    device = case.options.text("device") or "CPU"
    limit = _limit_at_load(model or ModelMemory(0), host, device)
    if checked_at_load(case.ovms_version) and size * GIB > limit:
        yield case.refused(
            status.LOAD,
            f"cache_size is {size} GiB, and the load compares it with {limit / GIB:.1f} GiB on {device}: "
            f"{too_large_cache_size(case.ovms_version)}",
            "set it as `ovms-edge plan-memory` computes it",
            "cache_size",
        )
        return
    if model is None:
        return
    try:
        plan_memory(
            model,
            host,
            size,
            ovms_version=case.ovms_version,
            kv_precision=kv_precision_in(_properties(case)),
            device=device,
        )
    except EdgeError as error:
        yield case.warned(
            "cache_does_not_fit",
            f"OVMS loads it, and the first request may end the server: {error.reason}",
            error.remedy,
            "cache_size",
        )


def _limit_at_load(model: ModelMemory, host: HostMemory, device: str) -> int:
    """Return what OVMS compares cache_size with, bytes (GenAI: src/cpp/src/utils.cpp)."""
    if device == "CPU":
        return host.total_bytes
    gpu = places(host, device)[0 if host.gpu_bytes is not None else 1]
    return max(gpu.usable_bytes - model.weights_bytes * WEIGHTS_FACTOR_PERCENT // 100, 0)


def _properties(case: LlmCase) -> Mapping[str, object]:
    properties = plugin_properties(case.options.text("plugin_config"))
    return properties if isinstance(properties, dict) else {}


def _eviction(case: LlmCase) -> Iterator[Finding]:
    eviction = case.options.message("cache_eviction_config")
    if eviction is None or not all(eviction.has(name) for name in _SIZES):
        return
    sizes = {name: eviction.number(name) for name in _SIZES}
    log = status.CACHE_EVICTION.log
    for name, value in sizes.items():
        if value == 0:
            message = f'{name} is 0: the server ends: "{log.format(f"{name} must be non-zero")}"'
            yield _eviction_refused(case, message, f"set {name} to 16 tokens or more", name)
    kept = sizes["start_size"] + sizes["recent_size"]
    if sizes["max_cache_size"] <= kept:
        rule = "max_cache_size must be larger than CacheEvictionConfig.start_size + recent_size"
        message = f'max_cache_size is {sizes["max_cache_size"]}: the server ends: "{log.format(rule)}"'
        yield _eviction_refused(case, message, f"set max_cache_size above {kept}", "max_cache_size")
    block = _BLOCK_TOKENS["CPU" if case.options.text("device") in ("", "CPU") else "GPU"]
    for name, value in sizes.items():
        if value % block:
            at = eviction.entries[name]
            yield case.warned(
                "first_request_ends_server",
                f"{name} is {value}, no multiple of the {block} tokens of a block: it loads, and the first "
                "request ends the server",
                f"set it to {-(-value // block) * block}",
                f"cache_eviction_config.{name}",
                at,
            )


def _eviction_refused(case: LlmCase, message: str, fix: str, name: str) -> Finding:
    eviction = case.options.message("cache_eviction_config")
    at = eviction.entries[name] if eviction is not None else None
    return case.refused(status.CACHE_EVICTION, message, fix, f"cache_eviction_config.{name}", at)
