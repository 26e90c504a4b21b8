"""What the kernel says about this host."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_TIME_ERROR = 5  # linux/timex.h: clock not synchronized
_TIMEX_BYTES = 512  # struct timex is 208 bytes on 64-bit Linux
_CONTAINER_MARK = Path("/run/systemd/container")


def memory_bytes(meminfo: Path = Path("/proc/meminfo")) -> tuple[int, int]:
    """Return total and available memory in bytes, from /proc/meminfo (a container may have its own)."""
    values = {}
    for line in meminfo.read_text().splitlines():
        name, _, rest = line.partition(":")
        values[name] = int(rest.split()[0]) * 1024
    return values["MemTotal"], values["MemAvailable"]


def clock_synchronized() -> bool | None:
    """Return what the kernel knows (adjtimex(2)); None where it cannot know.

    In a container the clock is its host's, which may be kept by means that the kernel does not see.
    """
    if Path("/run/systemd/timesync/synchronized").exists():
        return True
    # a zeroed struct has modes 0: read only
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state < 0 or (state == _TIME_ERROR and in_container()):
        return None
    return bool(state != _TIME_ERROR)


def os_release() -> dict[str, str]:
    """Return the fields of /etc/os-release."""
    path = next((p for p in (Path("/etc/os-release"), Path("/usr/lib/os-release")) if p.exists()), None)
    lines = path.read_text().splitlines() if path else []
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key: value.strip().strip("\"'") for key, _, value in pairs}


def in_container() -> bool:
    """Return whether this host is a container, whose kernel is another's."""
    return _CONTAINER_MARK.exists() or "container" in os.environ
