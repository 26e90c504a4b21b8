"""How much memory a process may still take on this machine, in bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_KIB = 1024


def available_memory(root: Path = Path("/")) -> int:
    """Return MemAvailable and free swap, or less where a cgroup limits this process.

    https://docs.kernel.org/admin-guide/cgroup-v2.html, "Memory Interface Files", and
    https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, "stat file".
    """
    meminfo = _meminfo(root / "proc/meminfo")
    free = [meminfo["MemAvailable"] + meminfo["SwapFree"]]
    free += (_room(group) for group in _limited_groups(root))
    free += _room_of_version_1(root)
    return min(free)


def _meminfo(path: Path) -> dict[str, int]:
    fields = (line.split() for line in path.read_text().splitlines())
    return {name.rstrip(":"): int(value) * _KIB for name, value, *_ in fields}


def _limited_groups(root: Path) -> Iterator[Path]:
    """Yield the cgroup of this process and those above it that have a limit."""
    lines = (root / "proc/self/cgroup").read_text().splitlines()
    own = next((line[3:] for line in lines if line.startswith("0::")), "/").lstrip("/")
    top = root / "sys/fs/cgroup"
    group = top / own
    while True:
        if _number(group / "memory.max") is not None:
            yield group
        if group == top:
            return
        group = group.parent


def _room(group: Path) -> int:
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    used = (_number(group / "memory.current") or 0) - int(stat.get("inactive_file", 0))
    swap_limit = _number(group / "memory.swap.max")
    swap = 0 if swap_limit is None else max(0, swap_limit - (_number(group / "memory.swap.current") or 0))
    return max(0, (_number(group / "memory.max") or 0) - used) + swap


def _room_of_version_1(root: Path) -> list[int]:
    """Return what the memory controller of version 1 leaves; nothing where there is none."""
    lines = (line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines())
    own = next((path for _, controllers, path in lines if "memory" in controllers.split(",")), None)
    if own is None:
        return []
    top = root / "sys/fs/cgroup/memory"
    inside = top / own.lstrip("/")
    group = inside if inside.is_dir() else top  # a container sees its own group as the top
    used = _number(group / "memory.usage_in_bytes")
    if used is None:
        return []
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    used -= int(stat["total_inactive_file"])
    return [max(0, int(stat["hierarchical_memory_limit"]) - used)]


def _number(path: Path) -> int | None:
    """Return the value in a cgroup's file; None for ``max`` and where there is no such file."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return None if text == "max" else int(text)
