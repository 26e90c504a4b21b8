"""What is made of the requests around a reboot."""

from __future__ import annotations

import pytest

from tests.e2e.fault_store import Serving
from tests.e2e.load import CLIENTS, Asked, Report
from tests.e2e.reboot import Reboot, kind


def asked(started: float, ended: float, fault: str | None = None, status: int | None = None) -> Asked:
    cut_off = status == 200 and fault is not None
    return Asked(CLIENTS[0], started, None, ended, status, "", fault, cut_off, reused=False)


@pytest.mark.parametrize(
    ("fault", "status", "expected"),
    [
        ("ConnectionRefusedError: [Errno 111] Connection refused", None, "refused"),
        ("RemoteDisconnected: Remote end closed connection without response", None, "closed"),
        ("OSError: [Errno 113] No route to host", None, "no route"),
        ("TimeoutError: timed out", None, "timed out"),
        ("status 503: b''", 503, "status 503"),
        ("IncompleteRead: 3 more expected", 200, "cut off"),
        ("gaierror: unheard of", None, "gaierror: unheard of"),
    ],
)
def test_failures_have_kinds(fault: str, status: int | None, expected: str) -> None:
    assert kind(asked(0, 1, fault, status)) == expected


def reboot(*requests: Asked) -> Reboot:
    serving = Serving("container", "since", {"release": "vlm@1"}, [])
    gate = {"ok": True, "release": "vlm@1"}
    return Reboot(100.0, 102.0, Report(requests), serving, serving, gate)


def test_the_first_answer_is_one_after_the_boot() -> None:
    down = reboot(asked(99, 100.5), asked(101, 101, "RemoteDisconnected: "), asked(103, 109), asked(104, 110))
    assert down.first_answer_seconds == 9.0
    assert (down.kinds, down.failed_after, down.served_the_same) == ({"closed": 1}, [], True)


def test_what_fails_after_the_first_answer_is_told_from_what_was_asked_before() -> None:
    late = asked(110, 111, "TimeoutError: timed out")
    down = reboot(asked(103, 109), asked(104, 110, "status 503: b''", 503), late)
    assert down.failed_after == Report((late,)).faults
