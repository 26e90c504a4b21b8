"""Whether memory and disk of this machine are enough for a conversion, before hours are spent on it.

Peak memory of ``optimum-cli export openvino`` (optimum-intel 1.27.0, nncf 2.19.0, torch 2.13.0+cpu), as the
sum of the resident sizes of the process and its children, polled ten times a second, for random
Qwen2.5-VL in bfloat16 on two cores:

    parameters      int8        int4        fp16
    0.31 billion     2.9 GB      3.3 GB      3.9 GB
    0.92 billion     3.6 GB      4.1 GB      8.2 GB
    2.49 billion    10.1 GB      7.7 GB     12.1 GB

``3.5 GB + 2.5 x bytes of the source's weights`` bounds them all within 1 %. For Qwen2.5-VL-7B (8.29 billion
parameters) it says 45 GB; order-accuracy observed 36 to 43 GB there (intel-retail/order-accuracy, commit
f24a625f).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.export.weights import Weights

GB = 1_000_000_000
_TOOLS_BYTES = 35 * GB // 10
_PEAK_PERCENT_OF_WEIGHTS = 250
_BITS_OF_INTERMEDIATE = 16  # optimum-intel writes the model uncompressed before it compresses the weights
_SIDE_BYTES = GB // 10  # tokenizer, configuration, scales of the compressed weights


@dataclass(frozen=True)
class DiskNeed:
    """``size`` bytes more where ``path`` is or will be, ``purpose`` for people."""

    path: Path
    size: int
    purpose: str


def size_text(size: int) -> str:
    """Return ``size`` bytes for people."""
    return f"{size / GB:.1f} GB" if size >= GB // 10 else f"{size / 1_000_000:.1f} MB"


def peak_memory(weights: Weights) -> int:
    """Return how many bytes of memory converting a model takes at its peak."""
    return _TOOLS_BYTES + weights.source_bytes * _PEAK_PERCENT_OF_WEIGHTS // 100


def converted_bytes(weights: Weights, bits: int) -> int:
    """Return how large the converted model will be, with weights of ``bits`` bits."""
    return weights.parameters * bits // 8 * 105 // 100


def conversion_space(weights: Weights, bits: int) -> int:
    """Return the bytes of disk that a conversion takes while it runs: the result and what comes before it."""
    intermediate = 0 if bits >= _BITS_OF_INTERMEDIATE else weights.parameters * _BITS_OF_INTERMEDIATE // 8
    return converted_bytes(weights, bits) + intermediate + _SIDE_BYTES


def check_memory(peak_bytes: int, available_bytes: int, name: str) -> None:
    """Raise EdgeError if converting ``name`` would run out of memory."""
    if peak_bytes > available_bytes:
        raise EdgeError(
            f"memory too small: converting {name} takes about {peak_bytes / GB:.0f} GB at its peak, "
            f"{available_bytes / GB:.1f} GB are available (free memory and swap, within the cgroup's limit)",
            f"add {(peak_bytes - available_bytes) / GB:.0f} GB of swap, export on a larger host and carry "
            "the model, or try with --skip_memory_check",
        )


def check_disk(needs: Sequence[DiskNeed]) -> None:
    """Raise EdgeError if a file system has not what the ``needs`` on it add up to."""
    by_device: dict[int, list[DiskNeed]] = {}
    for need in needs:
        by_device.setdefault(_existing(need.path).stat().st_dev, []).append(need)
    for together in by_device.values():
        directory = _existing(together[0].path)
        total, free = sum(need.size for need in together), shutil.disk_usage(directory).free
        if total > free:
            what = " + ".join(f"{need.purpose} {size_text(need.size)}" for need in together)
            raise EdgeError(
                f"no space on {directory}: {size_text(total)} needed ({what}), {size_text(free)} free",
                "free space, or choose another --model_repository_path (HF_HOME for downloads)",
            )


def _existing(path: Path) -> Path:
    path = path.absolute()
    return next(candidate for candidate in (path, *path.parents) if candidate.exists())
