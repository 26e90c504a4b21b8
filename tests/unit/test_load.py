"""The load generator sees every way in which an answer can go wrong: else it proves nothing."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from tests.e2e.load import (
    CLIENTS,
    Asked,
    Client,
    Endpoint,
    Interval,
    Load,
    Report,
    fault_of_answer,
    fault_of_stream,
)
from tests.loopback import serving

MODEL = "a/model"
GOOD_ANSWERS = 2  # of each client, before the fault


def answer(text: str = "one burger", reason: str | None = "length", model: str = MODEL) -> bytes:
    choice = {"message": {"content": text}, "finish_reason": reason}
    return json.dumps({"model": model, "choices": [choice]}).encode()


def event(text: str, reason: str | None = None, model: str = MODEL) -> bytes:
    choice = {"delta": {"content": text}, "finish_reason": reason}
    return b"data: " + json.dumps({"model": model, "choices": [choice]}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
STREAM = event("one ") + event("burger", "length") + DONE


class Server(BaseHTTPRequestHandler):
    """Answers as OVMS does; subclasses do so until ``broken`` is set."""

    protocol_version = "HTTP/1.1"
    broken = False

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.broken:
            self.fail(body["stream"])
        elif body["stream"]:
            self.stream(STREAM)
        else:
            self.whole(answer())

    def whole(self, body: bytes, length: int | None = None, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, body: bytes, end: bytes = b"0\r\n\r\n") -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(body), body) + end)

    def fail(self, streamed: bool) -> None:
        raise NotImplementedError


class Truncated(Server):
    """Both ends before what was announced."""

    def fail(self, streamed: bool) -> None:
        if streamed:
            self.stream(event("one "), end=b"")
        else:
            self.whole(answer()[:-9], length=len(answer()))
        self.close_connection = True


class WithoutTheLastChunk(Server):
    """All that the client wants has come, but the message has no end."""

    def fail(self, streamed: bool) -> None:
        self.stream(STREAM if streamed else answer(), end=b"")
        self.close_connection = True


class CutWithinTheText(Server):
    """Well-formed for HTTP: what a proxy makes of a server that died."""

    def fail(self, streamed: bool) -> None:
        if streamed:
            self.stream(STREAM[: STREAM.index(DONE)])
        else:
            self.whole(answer()[:-9])


class Reset(Server):
    def fail(self, streamed: bool) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


class ClosesWithoutAWord(Server):
    def fail(self, streamed: bool) -> None:
        self.close_connection = True


class Unavailable(Server):
    def fail(self, streamed: bool) -> None:
        self.whole(b"no server", status=503)


class Silent(Server):
    def fail(self, streamed: bool) -> None:
        time.sleep(1)
        self.close_connection = True


@contextmanager
def load_on(handler: type[Server], patience: float = 10.0) -> Iterator[tuple[Load, Callable[[], None]]]:
    """Yield a load on a server of its own and what breaks that."""

    class Own(handler):  # type: ignore[misc, valid-type]
        pass

    def breaks() -> None:
        Own.broken = True

    with (
        serving(Own) as address,
        Load(Endpoint(f"http://{address}", MODEL), pause=0, patience=patience) as it,
    ):
        yield it, breaks


def test_answers_of_all_four_clients_are_good_and_half_of_them_keep_their_connection() -> None:
    with load_on(Server) as (load, _):
        load.wait_for(3)
    report = load.report()
    assert report.faults == []
    assert {asked.client for asked in report.requests} == set(CLIENTS)
    assert {(asked.client.kept, asked.reused) for asked in report.requests} == {(True, True), (False, False)}
    assert report.signatures == {"one burg"}
    assert all(
        asked.started <= asked.first_byte <= asked.ended for asked in report.requests if asked.first_byte
    )


@pytest.mark.parametrize(("handler", "truncated", "said"), [
    (Truncated, True, "IncompleteRead"),
    (WithoutTheLastChunk, True, "IncompleteRead"),
    (CutWithinTheText, True, "without .DONE|no whole answer"),
    (Reset, False, "ConnectionResetError"),
    (ClosesWithoutAWord, False, "RemoteDisconnected"),
    (Unavailable, False, "status 503.*no server"),
    (Silent, False, "timed out"),
])  # fmt: skip
def test_each_client_sees_the_fault(handler: type[Server], truncated: bool, said: str) -> None:
    with load_on(handler, patience=0.3) as (load, breaks):
        load.wait_for(GOOD_ANSWERS)
        breaks()
        deadline = time.monotonic() + 20
        while {one.client for one in load.report().requests if one.fault} != set(CLIENTS):
            assert time.monotonic() < deadline, load.report().faults
            time.sleep(0.01)
    report = load.report()
    seen, other = (report.truncated, report.failed) if truncated else (report.failed, report.truncated)
    assert {asked.client for asked in seen} == set(CLIENTS)
    assert not other
    assert [one.fault for one in seen if not re.search(said, one.fault or "")] == []


def test_load_does_not_begin_on_a_server_that_fails() -> None:
    class Broken(Unavailable):
        broken = True

    with serving(Broken) as address, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.e2e.load._READY_SECONDS", 0.2)
        with pytest.raises(AssertionError, match="503"), Load(Endpoint(f"http://{address}", MODEL)):
            pass


@pytest.mark.parametrize(("body", "fault"), [
    (answer(), None),
    (answer(reason="stop"), None),
    (answer(reason=None), "ended with None"),
    (answer(text=" \n"), "blank"),
    (answer(model="b/model"), "answered by 'b/model'"),
    (answer()[:-1], "no whole answer"),
    (b"", "no whole answer"),
    (b'{"error": "Mediapipe is not loaded yet"}', "no whole answer"),
    (b'{"model": "a/model", "choices": []}', "no whole answer"),
    (b"[]", "no whole answer"),
])  # fmt: skip
def test_answers_in_one_piece(body: bytes, fault: str | None) -> None:
    assert_said(fault_of_answer(body, MODEL), fault)


@pytest.mark.parametrize(("body", "fault"), [
    (STREAM, None),
    (event("one ") + event("burger", "stop") + DONE, None),
    (event("one ") + DONE, "ended with None"),
    (event("", "stop") + DONE, "blank"),
    (DONE, "answered by ''"),
    (event("one ") + event("burger", "stop"), "without [DONE]"),
    (event("one ") + event("burger", "stop") + b"data: [DONE]", "cut within an event"),
    (STREAM[:20], "cut within an event"),
    (event("one ") + b'{"error": "Mediapipe execution failed"}\n\n' + DONE, "not an event"),
    (event("one ") + b'data: {"error": "Mediapipe execution failed"}\n\n' + DONE, "no whole stream"),
    (event("one ") + event("burger", "stop", "b/model") + DONE, "answered by 'a/model, b/model'"),
    (b"", "no whole stream"),
])  # fmt: skip
def test_streams(body: bytes, fault: str | None) -> None:
    assert_said(fault_of_stream(body, MODEL), fault)


def assert_said(found: str | None, said: str | None) -> None:
    assert (found is None) == (said is None), found
    assert said is None or said in (found or "")


def asked(started: float, ended: float, fault: str | None = None) -> Asked:
    return Asked(Client(True, True), started, started, ended, 200, "text", fault, True, True)


def test_percentiles_gaps_and_intervals() -> None:
    requests = tuple(asked(start, start + seconds / 1000) for start, seconds in enumerate(range(1, 101)))
    report = Report(requests)
    assert report.percentile(50) == pytest.approx(0.050)
    assert report.percentile(99) == pytest.approx(0.099)
    assert report.longest == pytest.approx(0.100)
    assert report.longest_gap == pytest.approx(1.001)
    switches = [Interval(10.005, 10.5), Interval(20.9, 22.0)]
    assert [one.started for one in report.during(switches).requests] == [10, 21]
    assert report.outside(switches).count == 98
    assert Report(()).longest != Report(()).longest


def test_gap_is_between_good_answers() -> None:
    report = Report((asked(0, 1), asked(1, 2, "RemoteDisconnected"), asked(2, 4)))
    assert report.longest_gap == pytest.approx(3)
