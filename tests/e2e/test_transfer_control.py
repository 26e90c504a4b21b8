"""Rates, pauses and cut links, measured on the wire before a real registry."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.cli import main as controller
from tests.e2e import registry as depot
from tests.e2e.registry import Registry
from tests.e2e.relay import Relay, run_relay
from tests.unit.release_model import write_model

pytestmark = pytest.mark.lab

SOURCE = Path(__file__).resolve().parents[2] / "src"
REF = "vlm-int8@1.0.0"
EXTRA_BYTES = 12_000_000
LINK_RATE = 1_000_000  # bytes a second: 8 Mbit/s
CHUNK_BYTES = 256 << 10  # the largest of a file that is cut by content
CONNECTIONS = 4
DEADLINE_SECONDS = 30.0


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, Path]]:
    """A release of 12 MB in a real registry, and its allowed signers."""
    directory = tmp_path_factory.mktemp("release")
    model = write_model(directory / "model")
    (model / "extra.bin").write_bytes(random.Random(5).randbytes(EXTRA_BYTES))  # noqa: S311
    key = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    built = directory / "out" / "vlm-int8" / "1.0.0"
    (directory / "registry").mkdir()
    with depot.run_registry(
        directory / "registry", depot.make_tls(tmp_path_factory.mktemp("tls"))
    ) as registry:
        at = ["--depot", registry.url, "--ca", registry.ca, "--credentials", registry.credentials]
        for command in (
            ["build", "--model", model, "--release", REF, "--output", directory / "out"],
            ["sign", built, "--key", key],
            ["publish", built, *at],
        ):
            assert controller(["release", *map(str, command)]) == 0
        signers = directory / "allowed_signers"
        public = key.with_suffix(".pub").read_text()
        signers.write_text(f'release namespaces="ovms-edge-release" {public}')
        yield registry, signers


class Node:
    """A state directory whose depot is at the other end of ``relay``."""

    def __init__(
        self, directory: Path, release: tuple[Registry, Path], relay: Relay, **transfer: Any
    ) -> None:
        registry, signers = release
        self.state, self.config = directory / "state", directory / "node.json"
        credentials = depot.write_credentials(directory / "credentials.json", relay.host)
        server = {
            "url": f"https://{relay.host}",
            "ca_file": str(registry.ca),
            "credentials_file": str(credentials),
        }
        settings = {
            "schema": 1,
            "state_dir": str(self.state),
            "depot": server,
            "allowed_signers_file": str(signers),
            "transfer": {"connections": CONNECTIONS, **transfer},
        }
        self.config.write_text(json.dumps(settings))

    def start(self, *words: str) -> subprocess.Popen[str]:
        program = "import sys; from ovms_edge.node.cli import main; sys.exit(main())"
        return subprocess.Popen(
            [sys.executable, "-c", program, *words, "--json", f"--node-config={self.config}"],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def staging(self) -> Iterator[subprocess.Popen[str]]:
        with self.start("stage", REF) as process:
            try:
                yield process
            finally:
                process.kill()

    def transfer(self, *words: str) -> dict[str, Any]:
        return answer(self.start("transfer", *words))

    def await_status(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not wanted(status := self.transfer("status")):
            assert time.monotonic() < deadline, status
        return status


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    with process:
        output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert "Traceback" not in errors, errors
    document: dict[str, Any] = json.loads(output)
    assert document["ok"] == (process.returncode == 0), errors
    return document


def fetching(status: dict[str, Any]) -> bool:
    return status["state"] == "fetching" and status["fetched_bytes"] > 0


def test_the_wire_carries_the_rate_and_another_one_when_told(
    release: tuple[Registry, Path], tmp_path: Path
) -> None:
    with run_relay(release[0].host) as relay:
        node = Node(tmp_path, release, relay, rate="8Mbit")

        def measured() -> float:
            before, began = relay.down_bytes, time.monotonic()
            time.sleep(3)  # what is measured
            return (relay.down_bytes - before) / (time.monotonic() - began)

        with node.staging():
            node.await_status(lambda status: fetching(status) and status["fetched_bytes"] > 1_000_000)
            assert measured() == pytest.approx(1_000_000, rel=0.1)
            assert node.transfer("status")["rate_now"] == pytest.approx(1_000_000, rel=0.15)
            node.transfer("rate", "2Mbit")
            time.sleep(1)  # within which it has to hold
            assert measured() == pytest.approx(250_000, rel=0.1)


@pytest.mark.parametrize("rate", ["8Mbit", None])
def test_a_pause_stops_the_wire_within_a_second_and_outlives_the_process(
    release: tuple[Registry, Path], tmp_path: Path, rate: str | None
) -> None:
    with run_relay(release[0].host, LINK_RATE) as relay:
        node = Node(tmp_path, release, relay, rate=rate)
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
    release: tuple[Registry, Path], tmp_path: Path
) -> None:
    with run_relay(release[0].host, 4 * LINK_RATE) as relay:
        node = Node(tmp_path, release, relay, give_up_seconds=2)
        with node.start("stage", REF) as process:
            node.await_status(lambda status: fetching(status) and status["fetched_bytes"] > 3_000_000)
            relay.cut()
            refusal = answer(process)
        assert "nothing came for 2 s" in refusal["reason"]
        status = node.transfer("status")
        assert (status["state"], status["result"]) == ("gave_up", refusal)
        assert "stage again" in status["remedy"]
        relay.mend()
        again = answer(node.start("stage", REF))
        assert again["changed"]
        left = status["fetch_bytes"] - status["fetched_bytes"]
        assert again["fetch_bytes"] <= left + CONNECTIONS * CHUNK_BYTES


def test_a_closed_window_costs_no_patience_and_opens(release: tuple[Registry, Path], tmp_path: Path) -> None:
    with run_relay(release[0].host) as relay:
        node = Node(tmp_path, release, relay, rate="0", give_up_seconds=1)
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
