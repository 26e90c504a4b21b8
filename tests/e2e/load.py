"""A steady load on a chat endpoint, every answer judged: what a switch must not disturb.

Four clients ask one question about one small picture again and again: two want a stream, two do not; one of
each keeps its connection, the other opens a new one for each request. Nothing is tried twice.
"""

from __future__ import annotations

import json
import math
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection, IncompleteRead
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from ovms_edge.ovms.chat import CHAT_PATH, chat_body
from tests.contract.support import data_uri, png

PROMPT = "What is in the picture?"
PICTURE = (56, 56, 200, 30, 30)  # width, height, red, green, blue
# A batch rounds another way than a single request, so two answers of one model agree in their first words.
SIGNATURE_CHARACTERS = 8
MAX_TOKENS = 24
PATIENCE = 180.0  # seconds for an answer, a hold included
_READY_SECONDS = 60.0


@dataclass(frozen=True)
class Endpoint:
    """Where the load goes, and what may be asked of an answer."""

    url: str
    model: str
    api_key: str | None = None
    ca_file: Path | None = None


@dataclass(frozen=True)
class Client:
    streamed: bool
    kept: bool

    def __str__(self) -> str:
        return f"{'stream' if self.streamed else 'whole'}, {'kept' if self.kept else 'new'} connection"


CLIENTS = tuple(Client(streamed, kept) for streamed in (True, False) for kept in (True, False))


@dataclass(frozen=True)
class Asked:
    """One request; times are seconds since 1970. ``fault`` is None for a whole and right answer.

    ``truncated``: the answer had begun and was not whole. ``reused``: it went over a connection that had
    carried another. ``text`` tells which model answered (``SIGNATURE_CHARACTERS``).
    """

    client: Client
    started: float
    first_byte: float | None
    ended: float
    status: int | None
    text: str
    fault: str | None
    truncated: bool
    reused: bool

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    @property
    def signature(self) -> str:
        return self.text[:SIGNATURE_CHARACTERS]


@dataclass(frozen=True)
class Interval:
    start: float
    end: float

    def touches(self, asked: Asked) -> bool:
        return asked.started < self.end and asked.ended > self.start


@dataclass(frozen=True)
class Report:
    """What came of some requests, in the order of their ends."""

    requests: tuple[Asked, ...]

    @property
    def count(self) -> int:
        return len(self.requests)

    @property
    def truncated(self) -> tuple[Asked, ...]:
        return tuple(asked for asked in self.requests if asked.fault and asked.truncated)

    @property
    def failed(self) -> tuple[Asked, ...]:
        return tuple(asked for asked in self.requests if asked.fault and not asked.truncated)

    @property
    def faults(self) -> list[str]:
        """Every request that was not answered whole and right, as a line."""
        return [
            f"{asked.client}: {asked.fault} (status {asked.status}, begun {asked.started:.3f}, "
            f"ended {asked.ended:.3f}, {'reused' if asked.reused else 'fresh'} connection)"
            for asked in self.requests
            if asked.fault
        ]

    @property
    def signatures(self) -> set[str]:
        return {asked.signature for asked in self.requests if not asked.fault}

    @property
    def longest_gap(self) -> float:
        """Return the longest time in seconds in which no answer came to its end."""
        ends = [asked.ended for asked in self.requests if not asked.fault]
        return max((after - before for before, after in pairwise(ends)), default=0.0)

    @property
    def longest(self) -> float:
        return self.percentile(100)

    def percentile(self, percent: float) -> float:
        """Return the latency in seconds that ``percent`` of the requests stayed within; NaN of none."""
        latencies = sorted(asked.seconds for asked in self.requests)
        if not latencies:
            return math.nan
        return latencies[max(0, math.ceil(len(latencies) * percent / 100) - 1)]

    def during(self, intervals: Sequence[Interval]) -> Report:
        """Return the requests of which some part fell into one of the ``intervals``."""
        return Report(tuple(one for one in self.requests if any(each.touches(one) for each in intervals)))

    def outside(self, intervals: Sequence[Interval]) -> Report:
        """Return the requests that no interval touched."""
        return Report(tuple(one for one in self.requests if not any(each.touches(one) for each in intervals)))


@dataclass
class Load:
    """The load, from ``with`` to its end; it begins when every client has had one right answer.

    ``pause`` is how long in seconds a client waits between its requests, ``patience`` how long for an answer.
    """

    endpoint: Endpoint
    clients: tuple[Client, ...] = CLIENTS
    max_tokens: int = MAX_TOKENS
    pause: float = 0.1
    patience: float = PATIENCE
    _asked: list[Asked] = field(default_factory=list, init=False)
    _runs: list[Future[None]] = field(default_factory=list, init=False)
    _end: threading.Event = field(default_factory=threading.Event, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __enter__(self) -> Load:
        pool = ThreadPoolExecutor(len(self.clients))
        self._runs = [pool.submit(self._run, client) for client in self.clients]
        pool.shutdown(wait=False)
        deadline = time.monotonic() + _READY_SECONDS
        while {asked.client for asked in self._now() if not asked.fault} != set(self.clients):
            if time.monotonic() > deadline:
                self._stop()
                raise AssertionError(f"no steady load on {self.endpoint.url}: {self.report().faults[-4:]}")
            time.sleep(0.02)
        with self._lock:
            self._asked.clear()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it; what was asked is answered first."""
        self._stop()

    def report(self) -> Report:
        """Return what came of the requests that have ended."""
        return Report(tuple(sorted(self._now(), key=lambda asked: asked.ended)))

    def wait_for(self, more: int, seconds: float = 60.0) -> None:
        """Wait until every client has had ``more`` further right answers."""
        since, deadline = time.time(), time.monotonic() + seconds
        while time.monotonic() < deadline:
            new = [asked.client for asked in self._now() if asked.started >= since and not asked.fault]
            if all(new.count(client) >= more for client in self.clients):
                return
            time.sleep(0.02)
        raise AssertionError(f"{more} answers for each client took more than {seconds:g} s: {new}")

    def _now(self) -> list[Asked]:
        with self._lock:
            return list(self._asked)

    def _stop(self) -> None:
        self._end.set()
        for run in self._runs:
            run.result()

    def _run(self, client: Client) -> None:
        with _Caller(self.endpoint, client, self.max_tokens, self.patience) as caller:
            while not self._end.is_set():
                asked = caller.ask()
                with self._lock:
                    self._asked.append(asked)
                self._end.wait(self.pause)


def ask_once(endpoint: Endpoint, max_tokens: int = MAX_TOKENS, patience: float = PATIENCE) -> Asked:
    """Ask what the load asks, once and over a connection of its own."""
    with _Caller(endpoint, Client(streamed=False, kept=False), max_tokens, patience) as caller:
        return caller.ask()


class _Caller:
    """One client with its connection."""

    def __init__(self, endpoint: Endpoint, client: Client, max_tokens: int, patience: float) -> None:
        picture = data_uri(png(*PICTURE))
        body = chat_body(endpoint.model, PROMPT, [picture], max_tokens) | {"stream": client.streamed}
        self._body = json.dumps(body).encode()
        self._headers = {"Content-Type": "application/json"}
        if endpoint.api_key:
            self._headers["Authorization"] = f"Bearer {endpoint.api_key}"
        if not client.kept:
            self._headers["Connection"] = "close"
        self._endpoint, self._client = endpoint, client
        self._connection = _connection(endpoint, patience)

    def __enter__(self) -> _Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self) -> Asked:
        reused = self._connection.sock is not None
        started, seen = time.time(), _Seen()
        fault: str | None
        try:
            self._connection.request("POST", CHAT_PATH, self._body, self._headers)
            self._receive(seen)
            fault = _fault(seen, self._client.streamed, self._endpoint.model)
        except (OSError, HTTPException) as error:
            fault = f"{type(error).__name__}: {error}"
        if fault or not self._client.kept:
            self._connection.close()
        text = "" if fault else _text(bytes(seen.body), self._client.streamed)
        begun = seen.status == 200
        ended = time.time()
        return Asked(self._client, started, seen.first_byte, ended, seen.status, text, fault, begun, reused)

    def _receive(self, seen: _Seen) -> None:
        response = self._connection.getresponse()
        seen.status = response.status
        while data := response.read1():
            seen.first_byte = seen.first_byte or time.time()
            seen.body += data
        if response.length:  # read1 does not mind a body that ends before its Content-Length
            raise IncompleteRead(bytes(seen.body), response.length)
        response.read()  # nothing, but the connection is free for the next request only after it


@dataclass
class _Seen:
    status: int | None = None
    first_byte: float | None = None
    body: bytearray = field(default_factory=bytearray)


def _connection(endpoint: Endpoint, patience: float) -> HTTPConnection:
    parts = urlsplit(endpoint.url)
    assert parts.hostname
    if parts.scheme == "http":
        return HTTPConnection(parts.hostname, parts.port, timeout=patience)
    context = ssl.create_default_context(cafile=endpoint.ca_file)
    return HTTPSConnection(parts.hostname, parts.port, timeout=patience, context=context)


def _fault(seen: _Seen, streamed: bool, model: str) -> str | None:
    """Return what is wrong with an answer that came to its end."""
    if seen.status != 200:
        return f"status {seen.status}: {bytes(seen.body[:200])!r}"
    return fault_of_stream(bytes(seen.body), model) if streamed else fault_of_answer(bytes(seen.body), model)


def fault_of_answer(body: bytes, model: str) -> str | None:
    """Return what is wrong with the body of an answer in one piece, None if nothing is."""
    try:
        document = json.loads(body)
        choice = document["choices"][0]
        return _fault_of_parts(
            document["model"], choice["message"]["content"], choice["finish_reason"], model
        )
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return f"no whole answer ({error!r}): {body[-200:]!r}"


def fault_of_stream(body: bytes, model: str) -> str | None:
    """Return what is wrong with the body of a streamed answer, None if nothing is."""
    try:
        *events, last = _events(body)
        if last != b"[DONE]":
            return f"stream ends without [DONE]: {body[-200:]!r}"
        documents = [json.loads(event) for event in events]
        reasons = [choice["finish_reason"] for one in documents for choice in one["choices"]]
        models = {document["model"] for document in documents}
        named = model if models == {model} else ", ".join(sorted(map(str, models)))
        return _fault_of_parts(named, _text(body, streamed=True), reasons[-1] if reasons else None, model)
    except (ValueError, KeyError, TypeError) as error:
        return f"no whole stream ({error!r}): {body[-200:]!r}"


def _fault_of_parts(found: object, text: object, reason: object, model: str) -> str | None:
    if found != model:
        return f"answered by {found!r}"
    if reason not in ("stop", "length"):
        return f"ended with {reason!r}"
    if not isinstance(text, str) or not text.strip():
        return f"blank: {text!r}"
    return None


def _text(body: bytes, streamed: bool) -> str:
    if not streamed:
        return str(json.loads(body)["choices"][0]["message"]["content"])
    documents = (json.loads(event) for event in _events(body) if event != b"[DONE]")
    return "".join(
        choice["delta"].get("content") or "" for document in documents for choice in document["choices"]
    )


def _events(body: bytes) -> list[bytes]:
    """Return the data of the server-sent events; one that its blank line does not end is not whole."""
    *events, rest = body.split(b"\n\n")
    if rest:
        raise ValueError(f"cut within an event: {rest!r}")
    lines = [event.strip() for event in events]
    wrong = [line for line in lines if not line.startswith(b"data:")]
    if wrong:
        raise ValueError(f"not an event: {wrong[0]!r}")
    return [line.removeprefix(b"data:").strip() for line in lines]
