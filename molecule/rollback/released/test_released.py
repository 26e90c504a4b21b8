"""On the other release; the first one is there to go back to."""

from __future__ import annotations

from testinfra.host import Host

from tests.testinfra.node import ask, assert_healthy


def test_other_release_serves(host: Host) -> None:
    status = ask(host, "status")
    assert "@1.2.0-" in status["active"]["release"]
    assert "@1.0.0-" in status["previous"]["release"]


def test_store_is_healthy(host: Host) -> None:
    assert_healthy(host)
