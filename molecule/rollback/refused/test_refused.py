"""Still on the first release, after one that answered wrongly."""

from __future__ import annotations

from testinfra.host import Host

from tests.testinfra.node import ask


def test_first_release_serves_as_before(host: Host) -> None:
    status = ask(host, "status")
    assert "@1.0.0-" in status["active"]["release"]
    assert status["pending"] is None


def test_refused_release_is_known_as_failed_here(host: Host) -> None:
    (failed,) = ask(host, "status")["failed"]
    assert "@1.3.0-" in failed["release"]


def test_gate_passes(host: Host) -> None:
    verified = ask(host, "verify")
    assert verified["ok"], verified["reason"]


def test_doctor_finds_nothing_but_the_refusal(host: Host) -> None:
    assert [finding["id"] for finding in ask(host, "doctor")["findings"]] == ["state.failed"]
