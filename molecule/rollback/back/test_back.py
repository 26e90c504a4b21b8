"""Back on the first release, by playbooks/rollback_release.yml."""

from __future__ import annotations

from testinfra.host import Host

from tests.testinfra.node import ask, assert_healthy


def test_first_release_serves_again(host: Host) -> None:
    status = ask(host, "status")
    assert "@1.0.0-" in status["active"]["release"]
    assert status["switches"]["last"][0]["event"] == "rolled_back"


def test_both_releases_are_still_there(host: Host) -> None:
    there = sorted(entry["release"].partition("@")[2][:5] for entry in ask(host, "status")["releases"])
    assert there == ["1.0.0", "1.2.0"]


def test_store_is_healthy(host: Host) -> None:
    assert_healthy(host)
