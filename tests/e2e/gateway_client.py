"""A client of the gateway that fails like one: a broken pipe, a short answer, a stream without its end."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

CHAT = "/v3/chat/completions"
PATIENCE_SECONDS = 20.0
END = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    ended: float  # time.time()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """Asks over one connection that it keeps, or over a new one each time."""

    url: str
    key: str | None = None
    keep: bool = False
    tls: ssl.SSLContext | None = None
    _connection: http.client.HTTPConnection | None = field(default=None, init=False)

    def connection(self) -> http.client.HTTPConnection:
        if self._connection is None or not self.keep:
            parts = urlsplit(self.url)
            assert parts.hostname
            if parts.scheme == "https":
                self._connection = http.client.HTTPSConnection(
                    parts.hostname, parts.port, timeout=PATIENCE_SECONDS, context=self.tls
                )
            else:
                self._connection = http.client.HTTPConnection(
                    parts.hostname, parts.port, timeout=PATIENCE_SECONDS
                )
        return self._connection

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def request(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, **headers: str
    ) -> Answer:
        """Send all of ``body`` before reading anything, as most clients do; an iterator goes chunked."""
        connection = self.connection()
        chunked = body is not None and not isinstance(body, bytes)
        connection.request(method, path, body, {**self.headers(), **headers}, encode_chunked=chunked)
        answer = connection.getresponse()
        data = answer.read()
        if not self.keep:
            connection.close()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, data, time.time())

    def ask(self, padding: int = 0, **wanted: Any) -> Answer:
        body = json.dumps({**wanted, "prompt": "very-secret-prompt" + "x" * padding})
        return self.request("POST", CHAT, body.encode())

    def arrivals(self, **wanted: Any) -> list[float]:
        """Return when each event of a streamed answer came, in seconds after the question."""
        connection, started, times = self.connection(), time.monotonic(), []
        body = json.dumps({**wanted, "stream": True}).encode()
        connection.request("POST", CHAT, body, self.headers())
        answer = connection.getresponse()
        while line := answer.readline():
            if line.startswith(b"data:"):
                times.append(time.monotonic() - started)
        return times


def slot_of(answer: Answer) -> str:
    """Return the slot that gave a whole answer; raises AssertionError for any other answer."""
    assert answer.status == 200, answer
    if answer.headers["content-type"] == "application/json":
        return str(answer.json()["slot"])
    assert answer.body.endswith(END), answer
    slots = {event.split()[1] for event in answer.body.removesuffix(END).split(b"\n\n") if event}
    (slot,) = slots
    return slot.decode()


class Load:
    """Clients that ask without a pause until they are told to stop."""

    def __init__(self, clients: list[tuple[Client, dict[str, Any]]]) -> None:
        self.slots: list[str] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=each, daemon=True) for each in clients]

    def _run(self, client: Client, wanted: dict[str, Any]) -> None:
        while not self._stop.is_set():
            try:
                self.slots.append(slot_of(client.ask(**wanted)))
            except (OSError, http.client.HTTPException, AssertionError, ValueError) as error:
                self.failures.append(repr(error))
                client.keep = False

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)


class Asked:
    """One question in a thread of its own; ``result`` waits for its answer."""

    def __init__(self, ask: Callable[[], Answer]) -> None:
        self._answer: Answer | Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
        self._thread.start()

    def _run(self, ask: Callable[[], Answer]) -> None:
        try:
            self._answer = ask()
        except (OSError, http.client.HTTPException) as error:
            self._answer = error

    @property
    def pending(self) -> bool:
        return self._thread.is_alive()

    def result(self) -> Answer:
        self._thread.join(PATIENCE_SECONDS)
        assert not self.pending, "no answer"
        if isinstance(self._answer, Exception):
            raise self._answer
        assert self._answer is not None
        return self._answer
