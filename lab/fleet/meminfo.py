"""The memory that a store believes to have: a file mounted over its /proc/meminfo."""

from __future__ import annotations

from pathlib import Path

_KIB_PER_GIB = 1024 * 1024
_IN_USE_GIB = 1  # what a bare Debian with its services takes, rounded up


def text(memory_gib: int) -> str:
    """``memory_gib`` GiB in all, as proc_meminfo(5) writes it (kB meaning KiB)."""
    total = memory_gib * _KIB_PER_GIB
    available = max(total - _IN_USE_GIB * _KIB_PER_GIB, total // 2)
    values = {
        "MemTotal": total,
        "MemFree": available,
        "MemAvailable": available,
        "Buffers": 0,
        "Cached": 0,
        "SwapCached": 0,
        "SwapTotal": 0,
        "SwapFree": 0,
        "Shmem": 0,
        "SReclaimable": 0,
    }
    return "".join(f"{name + ':':15} {value:8} kB\n" for name, value in values.items())


def write(path: Path, memory_gib: int) -> None:
    """Rewrite in place: the mount is of this very inode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(memory_gib))
