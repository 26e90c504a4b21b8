"""Devices and their memory. The lab's render node has no driver behind it: rights on it are all that can be
tested, so they decide whether there is a GPU."""

from __future__ import annotations

import os
import re
from pathlib import Path

GIB = 1024**3
# the driver reports this share of the system's memory as the iGPU's, less a fixed part
# (intel/compute-runtime, documentation/FAQ.md)
_IGPU_SHARE = 0.94
_IGPU_RESERVED = 450 * 1024**2
# OpenVINO 2025.4 GPU plugin; a key that it does not know fails the load
GPU_PROPERTIES = frozenset(
    {
        "ACTIVATIONS_SCALE_FACTOR", "CACHE_DIR", "CACHE_ENCRYPTION_CALLBACKS", "CACHE_MODE",
        "COMPILATION_NUM_THREADS", "CONFIG_FILE", "DEVICE_ID", "DYNAMIC_QUANTIZATION_GROUP_SIZE",
        "ENABLE_CPU_PINNING", "ENABLE_CPU_RESERVATION", "EXECUTION_MODE_HINT",
        "GPU_DISABLE_WINOGRAD_CONVOLUTION", "GPU_ENABLE_LARGE_ALLOCATIONS", "GPU_ENABLE_LOOP_UNROLLING",
        "GPU_ENABLE_SDPA_OPTIMIZATION", "GPU_HOST_TASK_PRIORITY", "GPU_QUEUE_PRIORITY",
        "GPU_QUEUE_THROTTLE", "INFERENCE_PRECISION_HINT", "KV_CACHE_PRECISION", "LOG_LEVEL",
        "MODEL_PRIORITY", "NUM_STREAMS", "PERFORMANCE_HINT", "PERFORMANCE_HINT_NUM_REQUESTS", "PERF_COUNT",
        "WEIGHTS_PATH",
    }
)  # fmt: skip


def available_devices(render_nodes: Path = Path("/dev/dri")) -> tuple[str, ...]:
    """Return CPU, and GPU if this process may read and write a render node."""
    usable = any(os.access(node, os.R_OK | os.W_OK) for node in render_nodes.glob("renderD*"))
    return ("CPU", "GPU") if usable else ("CPU",)


def missing_device(device: str, available: tuple[str, ...]) -> str | None:
    """Return the device that ``device`` (GPU, GPU.0, HETERO:GPU,CPU ...) needs and that is not there."""
    _, _, listed = device.rpartition(":")
    for wanted in listed.split(","):
        kind = re.sub(r"\.\d+$", "", wanted.strip())
        if kind not in (*available, "AUTO"):
            return wanted
    return None


def memory_limit() -> int:
    """Return how many bytes this process may use: the container's limit, else the machine's memory."""
    total = _meminfo("MemTotal")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(file).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            return min(total, int(text))
    return total


def kv_cache_capacity(device: str) -> int:
    """Return the bytes that OpenVINO GenAI compares cache_size with at load time."""
    if "GPU" in device:
        return int(_meminfo("MemTotal") * _IGPU_SHARE) - _IGPU_RESERVED
    return _meminfo("MemAvailable")


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _meminfo(name: str) -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/meminfo has no {name}")
