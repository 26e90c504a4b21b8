"""What a transfer costs: bytes through a relay, CPU of process trees, peak memory, disk."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK_BYTES = 1 << 18
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Relay:
    """A TCP relay in this process; ``down`` and ``up`` count what passed, TLS and SSH included."""

    port: int = 0
    down: int = 0
    up: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def relay(target: int) -> Iterator[Relay]:
    """Yield a relay before ``target``, a port of this host."""
    found = Relay()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    found.port = listener.getsockname()[1]

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=_pass_on, args=(found, client, target), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield found
    finally:
        listener.close()


def _pass_on(found: Relay, client: socket.socket, target: int) -> None:
    with suppress(OSError), client, socket.create_connection(("127.0.0.1", target)) as server:
        ends = {client: server, server: client}
        while True:
            readable, _, _ = select.select(list(ends), [], [])
            for end in readable:
                data = end.recv(_BLOCK_BYTES)
                if not data:
                    return
                ends[end].sendall(data)
                with found.lock:
                    found.up += len(data) if end is client else 0
                    found.down += len(data) if end is server else 0


class PeakMemory:
    """The largest resident memory of a process tree, in bytes, sampled every 20 ms."""

    def __init__(self, pid: int) -> None:
        self._pid, self._ended = pid, threading.Event()
        self.bytes = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """End; return the peak."""
        self._ended.set()
        self._thread.join()
        return self.bytes

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            self.bytes = max(self.bytes, sum(_resident(pid) for pid in _tree(self._pid)))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of its children that ended, in seconds (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(value) for value in fields[11:15]) / _TICKS


def new_bytes(directory: Path) -> int:
    """Return the disk that files take which have no other name."""
    total = 0
    for path in directory.rglob("*"):
        status = path.lstat()
        if path.is_file() and status.st_nlink == 1:
            total += status.st_blocks * 512
    return total


def wait_for_port(port: int, seconds: float = 20) -> None:
    """Return when something listens on ``port``; raises OSError after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                # between vfork and exec a child is its parent's memory a second time
                if _command(int(child)) != _command(pid):
                    yield from _tree(int(child))


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _resident(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
