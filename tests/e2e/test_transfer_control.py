"""Rates, pauses and cut links, measured on the wire before a real registry."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import registry as depot
from tests.e2e.node_process import CHUNK_BYTES, CONNECTIONS, REF, Node, Published, answer, publish
from tests.e2e.relay import Relay, run_relay

pytestmark = pytest.mark.lab

EXTRA_BYTES = 12_000_000
LINK_RATE = 1_000_000  # bytes a second: 8 Mbit/s
DEADLINE_SECONDS = 30.0


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """A release of 12 MB in a real registry."""
    directory = tmp_path_factory.mktemp("release")
    (directory / "registry").mkdir()
    tls = depot.make_tls(tmp_path_factory.mktemp("tls"))
    with depot.run_registry(directory / "registry", tls) as registry:
        yield publish(directory, registry, EXTRA_BYTES)


class ControlledNode(Node):
    """A node whose depot is at the other end of a relay."""

    def __init__(self, directory: Path, release: Published, relay: Relay, **transfer: Any) -> None:
        credentials = depot.write_credentials(directory / "credentials.json", relay.host)
        server = {
            "url": f"https://{relay.host}",
            "ca_file": str(release.registry.ca),
            "credentials_file": str(credentials),
        }
        super().__init__(directory, release, server, **transfer)

    @contextmanager
    def staging(self) -> Iterator[subprocess.Popen[str]]:
        with self.start("stage", REF) as process:
            try:
                yield process
            finally:
                process.kill()

    def transfer(self, *words: str) -> dict[str, Any]:
        return self.run("transfer", *words)

    def await_status(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not wanted(status := self.transfer("status")):
            assert time.monotonic() < deadline, status
        return status


def fetching(status: dict[str, Any]) -> bool:
    return status["state"] == "fetching" and status["fetched_bytes"] > 0


@pytest.mark.alone
def test_the_wire_carries_the_rate_and_another_one_when_told(release: Published, tmp_path: Path) -> None:
    with run_relay(release.registry.host) as relay:
        node = ControlledNode(tmp_path, release, relay, rate="8Mbit")

        def measured() -> float:
            before, began = relay.down_bytes, time.monotonic()
            time.sleep(3)  # what is measured
            return (relay.down_bytes - before) / (time.monotonic() - began)

        with node.staging():
            node.await_status(lambda status: fetching(status) and status["fetched_bytes"] > 1_000_000)
            assert 750_000 < measured() < 1_100_000
            assert node.transfer("status")["rate_now"] == pytest.approx(1_000_000, rel=0.3)
            node.transfer("rate", "2Mbit")
            time.sleep(1)  # within which it has to hold
            assert 180_000 < measured() < 275_000


@pytest.mark.alone
@pytest.mark.parametrize("rate", ["8Mbit", None])
def test_a_pause_stops_the_wire_within_a_second_and_outlives_the_process(
    release: Published, tmp_path: Path, rate: str | None
) -> None:
    with run_relay(release.registry.host, LINK_RATE) as relay:
        node = ControlledNode(tmp_path, release, relay, rate=rate)
        with node.staging():
            node.await_status(lambda status: fetching(status) and status["fetched_bytes"] > 1_000_000)
            node.transfer("pause")
            time.sleep(1)  # within which it has to hold
            before = relay.down_bytes
            time.sleep(2)
            assert relay.down_bytes == before
            assert node.transfer("status")["state"] == "paused"
        relay.rate = None
        with node.start("stage", REF) as again:
            node.await_status(lambda status: status["state"] == "paused")
            before = relay.down_bytes
            time.sleep(1)
            assert relay.down_bytes == before
            node.transfer("resume")
            node.transfer("rate", "unlimited")
            document = answer(again)
        assert document["changed"]
        assert node.transfer("status")["state"] == "done"


def test_a_link_that_stays_away_ends_it_in_a_state_that_is_gone_on_from(
    release: Published, tmp_path: Path
) -> None:
    with run_relay(release.registry.host, 4 * LINK_RATE) as relay:
        node = ControlledNode(tmp_path, release, relay, give_up_seconds=2)
        with node.start("stage", REF) as process:
            node.await_status(lambda status: fetching(status) and status["fetched_bytes"] > 3_000_000)
            relay.cut()
            refusal = answer(process)
        assert "nothing came for 2 s" in refusal["reason"]
        status = node.transfer("status")
        refusal.pop("run")  # of the call, not of what it found
        assert (status["state"], status["result"]) == ("gave_up", refusal)
        assert "stage again" in status["remedy"]
        relay.mend()
        again = node.stage()
        assert again["changed"]
        left = status["fetch_bytes"] - status["fetched_bytes"]
        assert again["fetch_bytes"] <= left + CONNECTIONS * CHUNK_BYTES


def test_a_closed_window_costs_no_patience_and_opens(release: Published, tmp_path: Path) -> None:
    with run_relay(release.registry.host) as relay:
        node = ControlledNode(tmp_path, release, relay, rate="0", give_up_seconds=1)
        with node.start("stage", REF) as process:
            status = node.await_status(lambda status: status["state"] == "waiting")
            assert status["reason"] == "closed by the schedule at all times"
            relay.cut()
            time.sleep(2.5)  # longer than it would wait for a link that is gone
            assert node.transfer("status")["state"] == "waiting"
            assert relay.down_bytes == 0
            relay.mend()
            node.transfer("rate", "unlimited")
            assert answer(process)["changed"]
