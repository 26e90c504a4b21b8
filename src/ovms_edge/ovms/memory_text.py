"""The sum of a memory plan in words: line by line, in a refusal, and what OVMS would say."""

from __future__ import annotations

from dataclasses import dataclass

from ovms_edge.ovms.kv_cache import checked_at_load, too_large_cache_size
from ovms_edge.ovms.memory_places import (
    GIB,
    OS_RESERVE_BYTES,
    WEIGHTS_FACTOR_PERCENT,
    HostMemory,
    Place,
    places,
)
from ovms_edge.ovms.model_memory import ModelMemory


@dataclass(frozen=True)
class SumLine:
    """One line of the sum: ``note`` says where ``bytes`` come from."""

    label: str
    bytes: int
    note: str


def gib(size: int) -> str:
    """Return ``size`` bytes as text."""
    return f"{size / GIB:.1f} GiB"


def gib_floor(size: int) -> str:
    """Return ``size`` bytes as text, never more than it is."""
    return f"{size * 10 // GIB / 10:.1f} GiB"


def gib_ceiling(size: int) -> str:
    """Return ``size`` bytes as text, never less than it is."""
    return f"{-(-size * 10 // GIB) / 10:.1f} GiB"


def sum_lines(
    model: ModelMemory, memories: tuple[Place, ...], cache_gib: int, computed: bool
) -> tuple[SumLine, ...]:
    """Return the sum for one model, memory by memory."""
    lines: list[SumLine] = []
    for place in memories:
        if place.device == "host" and place.runtime_bytes == 0:
            lines.append(_gpu_share(place))
            continue
        prefix = "GPU " if place.device == "GPU" else ""
        need = place.need_bytes(model.weights_bytes, cache_gib)
        lines.append(
            SumLine(
                f"{prefix}weights",
                _weights(model),
                f"{gib(model.weights_bytes)} of .bin files x 1.1, as OpenVINO GenAI reckons"
                + (", while they load" if place.loads_only else ""),
            )
        )
        if place.holds_pool:
            how = "computed: an eighth of this memory, 1 to 8, what fits" if computed else "as asked"
            lines.append(SumLine(f"{prefix}KV cache", place.pool_bytes(cache_gib), f"cache_size, {how}"))
        lines += [
            SumLine(f"{prefix}runtime", place.runtime_bytes, _RUNTIME[place.device]),
            SumLine(f"{prefix}needed", need, "one model"),
            SumLine(
                f"{prefix}two models",
                place.need_bytes(model.weights_bytes, cache_gib, 2),
                "what tier A takes, one loading beside the one that serves",
            ),
            *_capacity(place),
        ]
    return tuple(lines)


def too_small(
    model: ModelMemory, memories: tuple[Place, ...], cache_gib: int, models: int, ovms_version: str
) -> str:
    """Return the sum of the first memory that does not hold ``models`` models; empty if all do."""
    for place in memories:
        if place.fits(model.weights_bytes, cache_gib, models):
            continue
        times = f"{models} x (" if models > 1 else ""
        parts = [f"weights {_number(_weights(model))}"]
        if place.holds_pool:
            parts.append(f"KV cache {_number(place.pool_bytes(cache_gib))}")
        if place.runtime_bytes:
            parts.append(f"runtime {_number(place.runtime_bytes)}")
        if place.loads_only and models > 1:
            parts[-1] = f"runtime {models} x {_number(place.runtime_bytes)}"
            times = ""
        need = place.need_bytes(model.weights_bytes, cache_gib, models)
        needed, usable = gib(need), gib(place.usable_bytes)
        if needed == usable:  # by less than what is printed
            needed, usable = gib_ceiling(need), gib_floor(place.usable_bytes)
        ovms = "" if place.runtime_bytes else f"; {too_large_cache_size(ovms_version)}"
        return (
            f"{place.name} too small: {times}{' + '.join(parts)}{')' if times else ''} = {needed} needed, "
            f"{usable} usable of {gib(place.total_bytes)} ({_kept(place)}){ovms}"
        )
    return ""


def buffers_too_small(layers: int, cache_gib: int, largest: int, ovms_version: str) -> str:
    """Return why a pool that the memory has room for cannot be had."""
    return (
        f"cache_size is {cache_gib}: the GPU's driver gives less than 4.0 GiB for each of the {2 * layers} "
        f"buffers of {layers} layers, {largest} GiB in all; {too_large_cache_size(ovms_version)}"
    )


def larger_memory(model: ModelMemory, memories: tuple[Place, ...], models: int) -> str:
    """Return which host, or GPU, would hold ``models`` models with the smallest cache."""
    wanted: dict[str, int] = {}
    for place in memories:
        total = place.share.total_for(place.need_bytes(model.weights_bytes, 1, models))
        wanted[place.device] = max(wanted.get(place.device, 0), total, place.total_bytes)
    short = [
        f"a {device} with at least {gib_ceiling(total)} of memory"
        for device, total in wanted.items()
        if any(place.device == device and total > place.total_bytes for place in memories)
    ]
    return f"use {' and '.join(short)}"


def ovms_does(model: ModelMemory, host: HostMemory, device: str, ovms_version: str) -> str:
    """Return what this OVMS checks and when it allocates the KV pool."""
    when = "allocates the KV cache at the first request, not before"
    if not checked_at_load(ovms_version):
        return f"does not check cache_size at load; {when}"
    if device == "CPU":
        total = host.total_bytes
    else:
        gpu = places(host, device)[0 if host.gpu_bytes is not None else 1]
        total = max(gpu.usable_bytes - _weights(model), 0)
    return f"compares cache_size with {gib(total)} at load; {when}"


_RUNTIME = {
    "host": "activations, vision encoder, plugin, compile scratch, /tmp of the container",
    "GPU": "activations, vision encoder, kernels",
}


def _capacity(place: Place) -> list[SumLine]:
    if place.device == "GPU":
        return [
            SumLine("GPU usable", place.usable_bytes, "95 % of it, as its driver reports"),
            SumLine("GPU", place.total_bytes, "its own memory"),
        ]
    return [
        SumLine("limit", place.usable_bytes, "of the container: host less operating system"),
        SumLine("operating system", place.total_bytes - place.usable_bytes, _kept(place)),
        SumLine("host", place.total_bytes, "MemTotal"),
    ]


def _gpu_share(place: Place) -> SumLine:
    return SumLine("GPU share", place.usable_bytes, f"{_kept(place)}; weights and KV cache lie in it")


def _kept(place: Place) -> str:
    if place.device == "GPU":
        return "95 %, as its driver reports"
    if place.runtime_bytes == 0:
        return "94 % of the host less 450 MiB, as its driver reports"
    return f"{gib(OS_RESERVE_BYTES)} kept for the host, whole GiB"


def _weights(model: ModelMemory) -> int:
    return model.weights_bytes * WEIGHTS_FACTOR_PERCENT // 100


def _number(size: int) -> str:
    return f"{size / GIB:.1f}"
