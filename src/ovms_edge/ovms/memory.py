"""How the memory of a host is shared out: weights, KV cache, runtime, and what the host keeps.

On an iGPU everything is system memory. OVMS allocates the KV pool at the first request, reports AVAILABLE
long before, and exits if the allocation fails (model_server v2025.4.1, src/llm/language_model/
continuous_batching/llm_executor.hpp), so what cannot fit has to be refused by arithmetic, beforehand:

    weights x 1.1  +  KV cache  +  runtime reserve  <=  container limit  =  host - OS reserve

The factor 1.1 is what OpenVINO GenAI 2025.4.1 itself reckons with (src/cpp/src/utils.cpp, where it takes
1.1 times the allocated memory off the GPU's total, and compares cache_size with the rest).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.ovms import memory_text as text
from ovms_edge.ovms.kv_cache import (
    DEFAULT_TOKENS_PER_REQUEST,
    default_kv_precision,
    kv_bytes_of_token,
    zero_cache_size,
)
from ovms_edge.ovms.memory_places import GIB, HostMemory, Place, places
from ovms_edge.ovms.memory_text import SumLine
from ovms_edge.ovms.model_memory import ModelMemory, model_memory

__all__ = [
    "GIB",
    "HostMemory",
    "MemoryPlan",
    "ModelMemory",
    "SumLine",
    "check_limit",
    "model_memory",
    "plan_memory",
]

Tier = Literal["A", "B"]

# 8 GiB hold 245 000 tokens of a 7B model at 8 bits.
LARGEST_COMPUTED_CACHE_GIB = 8
SHARE_OF_CACHE = 8
# A step of OVMS computes 256 tokens (max_num_batched_tokens), however many requests share them: more at once
# only make each of them slower.
LARGEST_CONCURRENCY = 16
# An OpenCL buffer is at most this large, and each layer has two: keys and values (intel/compute-runtime,
# GfxCoreHelper::getMaxMemAllocSize; openvino.genai 2025.4.1.0, src/cpp/src/utils.cpp).
LARGEST_BUFFER_BYTES = 4 * GIB - 8 * 1024


@dataclass(frozen=True)
class MemoryPlan:
    """``cache_size_gib`` and ``concurrency`` (as max_num_seqs) go into the graph.

    ``limit_bytes`` is the container's memory limit, ``need_bytes`` what serving takes of the host.
    ``tier`` is A where two models fit, so that one can be loaded beside the one that serves, else B.
    ``pool_tokens`` is what the KV cache holds, 0 if the model's bytes per token are not known. ``ovms`` says
    what this OVMS does with cache_size, ``lines`` are the sum.
    """

    cache_size_gib: int
    concurrency: int
    tier: Tier
    limit_bytes: int
    need_bytes: int
    cache_computed: bool
    kv_precision: str
    pool_tokens: int
    tokens_per_request: int
    ovms: str
    lines: tuple[SumLine, ...]


def plan_memory(
    model: ModelMemory,
    host: HostMemory,
    cache_size_gib: int | None = None,
    *,
    ovms_version: str,
    tokens_per_request: int = DEFAULT_TOKENS_PER_REQUEST,
    kv_precision: str | None = None,
    tier: Tier | None = None,
    device: str = "GPU",
) -> MemoryPlan:
    """Share out the memory of ``host`` for ``model``.

    ``cache_size_gib`` None computes the KV cache: an eighth of the memory it lies in (2 GiB at 16, 4 at 32,
    8 at 64), less where that does not fit, at least 1. ``tier`` "A" demands room for two such models, "B"
    for one; None finds out. ``kv_precision`` None is what this OVMS uses on ``device``. Raises EdgeError,
    with the sum and what would fit, if it cannot; UsageError for arguments that are none.
    """
    precision = kv_precision or default_kv_precision(
        ovms_version, discrete_gpu=host.gpu_bytes is not None and device != "CPU"
    )
    token_bytes = kv_bytes_of_token(model.kv_bytes_per_token, precision)
    _check_arguments(tokens_per_request, tier, cache_size_gib, ovms_version)
    memories = places(host, device)
    models = 2 if tier == "A" else 1
    largest = largest_cache(model, memories, models, device)
    if cache_size_gib is None:
        share = (memories[0].total_bytes + SHARE_OF_CACHE * GIB // 2) // (SHARE_OF_CACHE * GIB)
        cache = max(1, min(share, largest, LARGEST_COMPUTED_CACHE_GIB))
    else:
        cache = cache_size_gib
    if cache > largest:
        reason = text.too_small(model, memories, cache, models, ovms_version) or text.buffers_too_small(
            model.layers, cache, largest, ovms_version
        )
        remedy = _remedy(model, memories, cache_size_gib, largest, models, device)
        raise EdgeError(reason, remedy)
    pool_tokens = cache * GIB // token_bytes if token_bytes else 0
    memory_of_host = next(place for place in memories if place.device == "host")
    return MemoryPlan(
        cache_size_gib=cache,
        concurrency=max(1, min(pool_tokens // tokens_per_request, LARGEST_CONCURRENCY)),
        tier=tier or ("A" if cache <= largest_cache(model, memories, 2, device) else "B"),
        limit_bytes=memory_of_host.usable_bytes,
        need_bytes=memory_of_host.need_bytes(model.weights_bytes, cache),
        cache_computed=cache_size_gib is None,
        kv_precision=precision,
        pool_tokens=pool_tokens,
        tokens_per_request=tokens_per_request,
        ovms=text.ovms_does(model, host, device, ovms_version),
        lines=text.sum_lines(model, memories, cache, cache_size_gib is None),
    )


def largest_cache(model: ModelMemory, memories: tuple[Place, ...], models: int, device: str) -> int:
    """Return the largest cache_size, in whole GiB, with which ``models`` models fit; below 1 if none does."""
    rooms = [
        (place.usable_bytes - place.need_bytes(model.weights_bytes, 0, models)) // models
        for place in memories
        if place.holds_pool
    ]
    if not all(place.fits(model.weights_bytes, 0, models) for place in memories if not place.holds_pool):
        return 0
    if device != "CPU" and model.layers:
        rooms.append(LARGEST_BUFFER_BYTES * model.layers * 2)
    return min(rooms) // GIB


def check_limit(limit_gib: int, host_bytes: int, plan: MemoryPlan) -> int:
    """Return a limit set by hand, in bytes; raises EdgeError if it cannot hold ``plan`` or the host it."""
    limit = limit_gib * GIB
    if limit < plan.need_bytes or limit > host_bytes:
        raise EdgeError(
            f"memory_limit_gib is {limit_gib}: serving needs {text.gib(plan.need_bytes)} and the host has "
            f"{text.gib(host_bytes)}",
            "set it between the two, or leave it unset",
        )
    return limit


def _check_arguments(tokens: int, tier: str | None, cache_size_gib: int | None, ovms_version: str) -> None:
    if tokens < 1:
        raise UsageError(f"tokens per request are {tokens}", "set them to 1 or more")
    if tier not in (None, "A", "B"):
        raise UsageError(f"tier is {tier!r}", "set it to A (two models fit) or B (one), or leave it unset")
    if cache_size_gib is not None and cache_size_gib < 1:
        what = f": {zero_cache_size(ovms_version)}" if cache_size_gib == 0 else ""
        raise EdgeError(f"cache_size is {cache_size_gib}{what}", "set it to 1 or more GiB, or leave it unset")


def _remedy(
    model: ModelMemory,
    memories: tuple[Place, ...],
    asked_cache: int | None,
    largest: int,
    models: int,
    device: str,
) -> str:
    if asked_cache is not None and largest >= 1:
        return f"set cache_size to at most {largest}, or leave it unset"
    ways = [text.larger_memory(model, memories, models)]
    if models > 1 and largest_cache(model, memories, 1, device) >= (asked_cache or 1):
        ways.insert(0, "leave tier unset: one model at a time fits")
    else:
        weights = min(place.largest_weights(1, models) for place in memories)
        if weights > 0:
            ways.append(f"a model of at most {text.gib_floor(weights)} of weights")
    return ", or ".join(ways)
