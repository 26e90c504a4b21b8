"""The devices that OVMS sees, by its own log: it names them once, as it starts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from ovms_edge.node.docker import Docker

# model_server v2025.4.1, src/modelmanager.cpp: the devices that the container really sees
_MARK = "Available devices for Open VINO:"
# moby, api/server/httputils/write_log_stream.go: what stands where a log cannot be read further
_UNREADABLE = "Error grabbing logs:"
_LONGEST_END = 4096  # lines


def logged_devices(docker: Docker, container: str, started: str) -> tuple[str, ...]:
    """Return the devices in the log of the run that began at ``started``; none if it was rotated away."""
    since, readable = unix_time(started), False
    for line in docker.log_lines(container, since=since):
        if _MARK in line:
            return _devices_in([line])
        readable = not line.startswith(_UNREADABLE)
    return () if readable else _devices_in(_readable_end(docker, container, since))


def _readable_end(docker: Docker, container: str, since: str) -> list[str]:
    """Return the longest end of the log that can be read, of lines from ``since`` on.

    A power failure leaves zeros in the file. The engine reads nothing behind them, unless it begins there.
    """

    def end(lines: int) -> list[str]:
        found = list(docker.log_lines(container, since=since, tail=str(lines)))
        return [] if any(line.startswith(_UNREADABLE) for line in found) else found

    read, unread = 0, 1
    while unread <= _LONGEST_END and end(unread):
        read, unread = unread, 2 * unread
    while unread - read > 1:
        middle = (read + unread) // 2
        read, unread = (middle, unread) if end(middle) else (read, middle)
    return end(read) if read else []


def _devices_in(lines: Iterable[str]) -> tuple[str, ...]:
    for line in lines:
        if _MARK in line:
            names = line.partition(_MARK)[2].split(",")
            return tuple(name.strip() for name in names if name.strip())
    return ()


def unix_time(rfc3339: str) -> str:
    """Return Docker's time (nanoseconds, UTC) as what its log filter takes."""
    whole, _, fraction = rfc3339.rstrip("Z").partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return f"{int(moment.timestamp())}.{fraction or '0'}"
