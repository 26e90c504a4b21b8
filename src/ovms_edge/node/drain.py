"""Whether anybody is still being answered by a server.

The gateway opens a connection for each request and closes it behind the answer, so no established
connection to a server means no request. The kernel's table sees those of every HAProxy process, also of
one that a reload left behind to finish its answers.
"""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

_TABLE = Path("/proc/net/tcp")
_UNDER_WAY = ("01", "02")  # ESTABLISHED, SYN_SENT (include/net/tcp_states.h)
_POLL_SECONDS = 0.05
# Between a request's end and the next one that HAProxy had queued for the same server lie microseconds.
_QUIET_POLLS = 3


def connections_to(address: str, port: int, table: Path = _TABLE) -> int:
    """Return how many TCP connections of this host to ``address``:``port`` are open or being opened."""
    packed = struct.unpack("=I", socket.inet_aton(address))[0]
    wanted = f"{packed:08X}:{port:04X}"
    lines = table.read_text().splitlines()[1:]
    return sum(fields[2] == wanted and fields[3] in _UNDER_WAY for fields in map(str.split, lines))


def drained(address: str, port: int, seconds: float) -> bool:
    """Wait at most ``seconds`` for the last request to end; False if there still is one."""
    deadline = time.monotonic() + seconds
    quiet = 0
    while quiet < _QUIET_POLLS:
        quiet = 0 if connections_to(address, port) else quiet + 1
        if quiet < _QUIET_POLLS:
            if quiet == 0 and time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
    return True
