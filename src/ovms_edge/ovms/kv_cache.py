"""How OVMS keeps its KV cache: how many bytes a token takes, and what it does with ``cache_size``."""

from __future__ import annotations

from collections.abc import Mapping

from ovms_edge.errors import UsageError
from ovms_edge.ovms.fields import fields_for

# Qwen2.5-VL: a token for each 28 x 28 pixels (patches of 14, merged 2 x 2; its preprocessor_config.json).
PIXELS_PER_TOKEN_SIDE = 28


def image_tokens(width: int, height: int) -> int:
    """Return the tokens that a picture of ``width`` x ``height`` pixels becomes in Qwen2.5-VL."""
    return round(width / PIXELS_PER_TOKEN_SIDE) * round(height / PIXELS_PER_TOKEN_SIDE)


# Three camera frames in full HD, and 2048 for a prompt with order and inventory and for the answer.
DEFAULT_TOKENS_PER_REQUEST = 3 * image_tokens(1920, 1080) + 2048

# Eighths of the bytes at fp16. Quantized values have scales and zero points beside them: on a CPU 8 bytes for
# each head of a token (openvino.genai 2024.5.0.0, src/cpp/src/device_config.hpp). So a quarter is added to
# 8 bits and a half to 4: enough for heads of 64 values and more.
_EIGHTHS_OF_FP16 = {"f32": 16, "f16": 8, "bf16": 8, "u8": 5, "i8": 5, "u4": 3, "i4": 3}
KV_PRECISIONS = tuple(_EIGHTHS_OF_FP16)
_LEFT_TO_OPENVINO = ("", "dynamic", "undefined")

# openvino.genai: the tag at which each began.
_GROWS_SINCE = (2025, 0)  # src/cpp/src/device_config.hpp; before, an assertion fails
_PLUGIN_DECIDES_PRECISION_SINCE = (2025, 1)  # src/cpp/src/cache_manager.hpp; before, device_config.hpp: f16
_CHECKED_AT_LOAD_SINCE = (2025, 4)  # src/cpp/src/continuous_batching/pipeline_impl.cpp
_LOG_TEXT_CHANGED = (2026, 2)  # .../continuous_batching/cache/cache_orchestrator.hpp


def default_kv_precision(ovms_version: str, *, discrete_gpu: bool = False) -> str:
    """Return the precision that this OVMS keeps its KV cache in, unless KV_CACHE_PRECISION says otherwise.

    8 bits on CPU (openvino, src/plugins/intel_cpu/src/config.cpp) and for PagedAttention on any GPU
    (src/plugins/intel_gpu/src/runtime/execution_config.cpp). Earlier releases of the GPU plugin left out GPUs
    with matrix engines, which discrete ones are; those count as fp16 up to 2025.3, to be on the safe side.
    """
    since = _CHECKED_AT_LOAD_SINCE if discrete_gpu else _PLUGIN_DECIDES_PRECISION_SINCE
    return "u8" if release_of(ovms_version) >= since else "f16"


def kv_precision_in(plugin_config: Mapping[str, object]) -> str | None:
    """Return the KV_CACHE_PRECISION that a ``plugin_config`` sets; None if it leaves it to OpenVINO."""
    value = str(plugin_config.get("KV_CACHE_PRECISION", "")).lower()
    return None if value in _LEFT_TO_OPENVINO else value


def kv_bytes_of_token(fp16_bytes: int, precision: str) -> int:
    """Return the bytes of KV cache that one token takes; raises UsageError for an unknown precision."""
    if precision not in _EIGHTHS_OF_FP16:
        raise UsageError(f"KV cache precision is {precision!r}", f"use one of {', '.join(KV_PRECISIONS)}")
    return fp16_bytes * _EIGHTHS_OF_FP16[precision] // 8


def zero_cache_size(ovms_version: str) -> str:
    """Return what this OVMS makes of ``cache_size: 0``."""
    if release_of(ovms_version) >= _GROWS_SINCE:
        return "0 lets the KV cache grow without bound, until the server dies of it"
    return f"OVMS {ovms_version} does not load a graph with 0"


def too_large_cache_size(ovms_version: str) -> str:
    """Return what this OVMS does with a pool larger than its device's memory."""
    release = release_of(ovms_version)
    if release < _CHECKED_AT_LOAD_SINCE:
        return f"OVMS {ovms_version} loads it, and exits at the first request"
    what = "cache" if release >= _LOG_TEXT_CHANGED else "KV-cache"
    return (
        f"OVMS {ovms_version} refuses to load it: "
        f'"Requested {what} size is larger than available memory size on the system."'
    )


def checked_at_load(ovms_version: str) -> bool:
    """Return whether this OVMS compares cache_size with the device's memory when it loads the graph."""
    return release_of(ovms_version) >= _CHECKED_AT_LOAD_SINCE


def release_of(ovms_version: str) -> tuple[int, int]:
    """Return (year, release) of a version; raises EdgeError for one that the field matrix does not hold."""
    fields_for(ovms_version)
    year, release = ovms_version.split(".")[:2]
    return int(year), int(release)
