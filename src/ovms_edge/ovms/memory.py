"""How the memory of a host is shared out: weights, KV cache, runtime, and what the host keeps.

On an iGPU everything is system memory. OVMS allocates the KV pool at the first request, reports AVAILABLE
long before, and exits if the allocation fails (model_server v2025.4.1, src/llm/language_model/
continuous_batching/llm_executor.hpp), so what cannot fit has to be refused by arithmetic, beforehand:

    weights x 1.1  +  KV cache  +  runtime reserve  <=  container limit  =  host - OS reserve

The factor 1.1 is what OpenVINO GenAI 2025.4.1 itself reckons with (src/cpp/src/utils.cpp, where it takes
1.1 times the allocated memory off the total).
"""

from __future__ import annotations

from dataclasses import dataclass

from ovms_edge.errors import EdgeError

GIB = 1024**3

WEIGHTS_FACTOR_PERCENT = 110
RUNTIME_RESERVE_BYTES = 2 * GIB  # activations, vision encoder, plugin, compile scratch, /tmp of the container
OS_RESERVE_BYTES = 3 * GIB // 2  # kernel, Docker Engine, sshd, the host's own services
# One request at a time is what these hosts serve: 8 GiB hold 150 000 tokens of a 7B model at fp16.
LARGEST_COMPUTED_CACHE_GIB = 8
HOST_SHARE_OF_CACHE = 8


@dataclass(frozen=True)
class MemoryPlan:
    """``cache_size_gib`` goes into the graph, ``limit_bytes`` is the container's memory limit."""

    cache_size_gib: int
    limit_bytes: int
    weights_bytes: int
    cache_computed: bool

    @property
    def need_bytes(self) -> int:
        """What serving takes in all."""
        return _need(self.weights_bytes, self.cache_size_gib)


def plan_memory(host_bytes: int, weights_bytes: int, cache_size_gib: int | None) -> MemoryPlan:
    """Share out the memory of a host of ``host_bytes`` (MemTotal) for a model of ``weights_bytes``.

    ``cache_size_gib`` None computes the KV cache: an eighth of the host (2 GiB at 16, 4 at 32, 8 at 64),
    less where that does not fit, at least 1. Raises EdgeError, with the sum, if it cannot fit.
    """
    # Whole GiB: MemTotal changes by some MiB with the kernel, and that should not make a new container.
    limit = max(host_bytes - OS_RESERVE_BYTES, 0) // GIB * GIB
    room_gib = (limit - _need(weights_bytes, 0)) // GIB
    if cache_size_gib is None:
        share = (host_bytes + HOST_SHARE_OF_CACHE * GIB // 2) // (HOST_SHARE_OF_CACHE * GIB)
        cache = max(1, min(share, room_gib, LARGEST_COMPUTED_CACHE_GIB))
        remedy = "use a host with more memory or a smaller model"
    else:
        cache = cache_size_gib
        remedy = (
            f"set cache_size to at most {room_gib}, or leave it unset"
            if room_gib >= 1
            else "use a host with more memory or a smaller model"
        )
        if cache < 1:
            raise EdgeError(
                f"cache_size is {cache}",
                "set it to 1 or more GiB, or leave it unset: 0 lets the KV cache grow without bound",
            )
    if cache > room_gib:
        raise EdgeError(_sum_text(host_bytes, limit, weights_bytes, cache), remedy)
    return MemoryPlan(cache, limit, weights_bytes, cache_size_gib is None)


def check_limit(limit_gib: int, host_bytes: int, plan: MemoryPlan) -> int:
    """Return a limit set by hand, in bytes; raises EdgeError if it cannot hold ``plan`` or the host it."""
    limit = limit_gib * GIB
    if limit < plan.need_bytes or limit > host_bytes:
        raise EdgeError(
            f"memory_limit_gib is {limit_gib}: serving needs {_gib(plan.need_bytes)} GiB and the host has "
            f"{_gib(host_bytes)} GiB",
            "set it between the two, or leave it unset",
        )
    return limit


def _need(weights_bytes: int, cache_gib: int) -> int:
    return weights_bytes * WEIGHTS_FACTOR_PERCENT // 100 + cache_gib * GIB + RUNTIME_RESERVE_BYTES


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}"


def _sum_text(host_bytes: int, limit: int, weights_bytes: int, cache: int) -> str:
    weights = weights_bytes * WEIGHTS_FACTOR_PERCENT // 100
    return (
        f"memory too small: weights {_gib(weights)} + KV cache {cache} + "
        f"runtime {_gib(RUNTIME_RESERVE_BYTES)} = {_gib(_need(weights_bytes, cache))} GiB needed, "
        f"{_gib(limit)} GiB usable of {_gib(host_bytes)} GiB "
        f"({_gib(OS_RESERVE_BYTES)} GiB kept for the host, whole GiB)"
    )
