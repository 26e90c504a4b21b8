"""Log lines in the systemd journal, by its native protocol, so that they carry the run they belong to.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL/: a datagram of fields. Without a journal there is no socket.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "ovms-node"
# journald's own bound of a line (journald.conf(5), LineMax=). A datagram has to fit the socket's buffer.
_MESSAGE_BYTES = 48 * 1024
_LENGTH = struct.Struct("<Q")


class Journal:
    """The journal as one run of one command writes to it."""

    def __init__(self, run: str, command: str, path: Path = SOCKET) -> None:
        self._fields = {
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "OVMS_EDGE_RUN": run,
            "OVMS_EDGE_COMMAND": command,
        }
        self._path = str(path)

    def __call__(self, message: str, priority: int) -> bool:
        """Send one line with its priority of syslog(3); returns whether the journal has it.

        It does not wait: a journal that hangs must not keep a store from serving.
        """
        text = message.encode(errors="replace")[:_MESSAGE_BYTES].decode(errors="ignore")
        entry = {"MESSAGE": text, "PRIORITY": str(priority), **self._fields}
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(b"".join(_field(*field) for field in entry.items()), self._path)
        except OSError:
            return False
        return True


def stderr_is_journal() -> bool:
    """Return whether standard error goes to the journal already (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        stderr = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def _field(name: str, value: str) -> bytes:
    data = value.encode()
    if b"\n" in data:
        return name.encode() + b"\n" + _LENGTH.pack(len(data)) + data + b"\n"
    return name.encode() + b"=" + data + b"\n"
