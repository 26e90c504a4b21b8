"""A link to a server that can be thin, cut, and counted: what crosses it is the wire's bytes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_PIECE_BYTES = 4 << 10
# Links hold little: what is accepted here has to have left.
_BUFFER_BYTES = 16 << 10


@dataclass
class Relay:
    """Forwards TCP to ``target``; ``rate`` in bytes a second bounds what comes down, over all connections."""

    target: tuple[str, int]
    rate: float | None = None
    host: str = ""
    down_bytes: int = 0
    up_bytes: int = 0
    up: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)
    sockets: set[socket.socket] = field(default_factory=set)
    free_at: float = 0.0

    def cut(self) -> None:
        """Reset what is open and refuse what comes, until ``mend``."""
        self.up = False
        with self.lock:
            sockets, self.sockets = self.sockets, set()
        for end in sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self.up = True

    def forward(self, client: socket.socket) -> None:
        if not self.up:
            client.close()
            return
        server = socket.create_connection(self.target)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        with self.lock:
            self.sockets |= {client, server}
        for source, sink, counted in ((client, server, False), (server, client, True)):
            threading.Thread(target=self.pump, args=(source, sink, counted), daemon=True).start()

    def pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_PIECE_BYTES):
                if counted:
                    self.cross(len(data))
                sink.sendall(data)
                with self.lock:
                    self.down_bytes += len(data) if counted else 0
                    self.up_bytes += 0 if counted else len(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cross(self, size: int) -> None:
        """Take as long as the link does."""
        if self.rate is None:
            return
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic()) + size / self.rate
            wait = self.free_at - time.monotonic()
        time.sleep(max(wait, 0.0))


@contextmanager
def run_relay(target: str, rate: float | None = None, address: str = "127.0.0.1") -> Iterator[Relay]:
    """Yield a relay to ``target`` (HOST:PORT) on a free port of ``address``."""
    host, port = target.split(":")
    listener = socket.create_server((address, 0))
    relay = Relay((host, int(port)), rate, f"{address}:{listener.getsockname()[1]}")

    def accept() -> None:
        with suppress(OSError):
            while True:
                relay.forward(listener.accept()[0])

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield relay
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        relay.cut()
