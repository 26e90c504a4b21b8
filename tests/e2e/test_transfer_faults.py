"""Whatever the way to a real registry does: a release that differs by a bit is never staged."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import registry as depot
from tests.e2e.fault_proxy import FaultProxy, run_fault_proxy
from tests.e2e.node_process import CHUNK_BYTES, CONNECTIONS, REF, Node, Published, publish

pytestmark = pytest.mark.lab

# By hand: OVMS_EDGE_CUTS=300 OVMS_EDGE_KILLS=300 pytest -m lab tests/e2e/test_transfer_faults.py
CUTS = int(os.environ.get("OVMS_EDGE_CUTS", "20"))
KILLS = int(os.environ.get("OVMS_EDGE_KILLS", "10"))
EXTRA_BYTES = 6_000_000
GIVE_UP_SECONDS = 3


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """A release with 6 MB that are cut into chunks, in a real registry."""
    directory = tmp_path_factory.mktemp("release")
    (directory / "registry").mkdir()
    tls = depot.make_tls(tmp_path_factory.mktemp("tls"))
    with depot.run_registry(directory / "registry", tls) as registry:
        yield publish(directory, registry, EXTRA_BYTES)


@pytest.fixture
def proxy(release: Published) -> Iterator[FaultProxy]:
    with run_fault_proxy(release.registry) as running:
        yield running


def node_of(directory: Path, release: Published, *urls: str) -> Node:
    """Return a node whose depot is the last of ``urls``, and the others its mirrors."""
    credentials = directory / "credentials.json"
    auth = next(iter(json.loads(release.registry.credentials.read_text())["auths"].values()))
    credentials.write_text(json.dumps({"auths": {url.partition("//")[2]: auth for url in urls}}))
    *mirrors, last = urls
    settings = {
        "url": last,
        "credentials_file": str(credentials),
        "mirrors": [{"url": url} for url in mirrors],
    }
    return Node(directory, release, settings, give_up_seconds=GIVE_UP_SECONDS)


@pytest.fixture
def node(release: Published, proxy: FaultProxy, tmp_path: Path) -> Node:
    return node_of(tmp_path, release, proxy.url)


@pytest.mark.parametrize(
    "fault", ["reset", "truncate", "close", "429", "503", "500", "no-range", "wrong-byte"]
)
def test_what_passes_costs_time_and_no_bit(
    release: Published, proxy: FaultProxy, node: Node, fault: str
) -> None:
    proxy.faults = [fault, "", fault, "", fault]
    assert node.stage()["changed"]
    assert proxy.suffered == 3
    node.assert_exact()


@pytest.mark.parametrize("fault", ["wrong-byte", "416", "wrong-range", "503"])
def test_what_stays_is_refused_and_nothing_is_staged(
    release: Published, proxy: FaultProxy, node: Node, fault: str
) -> None:
    proxy.faults, proxy.always = ["", ""], fault  # manifest and signature come
    refusal = node.stage()
    assert not refusal["ok"]
    assert refusal["remedy"]
    assert not node.staged.exists()
    proxy.faults, proxy.always = [], ""
    assert node.stage()["changed"]
    node.assert_exact()


def test_a_server_without_ranges_is_no_obstacle(release: Published, proxy: FaultProxy, node: Node) -> None:
    proxy.always = "no-range"
    assert node.stage()["changed"]
    node.assert_exact()
    assert proxy.sent_bytes < 1.05 * sum(p.stat().st_size for p in release.built.rglob("*") if p.is_file())


def test_a_mirror_that_lies_is_passed_over(release: Published, proxy: FaultProxy, tmp_path: Path) -> None:
    with run_fault_proxy(release.registry) as lying:
        lying.always = "wrong-byte"
        node = node_of(tmp_path, release, lying.url, proxy.url)
        assert node.stage()["changed"]
        node.assert_exact()


def test_an_object_store_never_sees_the_password(release: Published, proxy: FaultProxy, node: Node) -> None:
    with run_fault_proxy(release.registry, strip_authorization=True) as store:
        proxy.store, proxy.always = store.url, "redirect"
        assert node.stage()["changed"]
        assert store.requests
        assert not [headers for headers in store.requests if "Authorization" in headers]
    node.assert_exact()


def test_cut_connections_cost_a_chunk_each(release: Published, proxy: FaultProxy, node: Node) -> None:
    moments = random.Random(13)  # noqa: S311  reproducible
    whole = sum(path.stat().st_size for path in release.built.rglob("*") if path.is_file())
    stages = 0
    while proxy.suffered < CUTS:
        # every second request about a blob is cut, until all is there
        cuts = moments.choices(["truncate", "close", "reset"], k=CUTS)
        proxy.faults = ["", ""] + [fault for cut in cuts for fault in (cut, "")]
        document = node.stage()
        stages += 1
        assert document["ok"], document
        node.assert_exact()
        node.forget()
    assert proxy.sent_bytes < stages * whole + proxy.suffered * CHUNK_BYTES


def test_kills_cost_a_chunk_per_connection(release: Published, proxy: FaultProxy, node: Node) -> None:
    """Slowed down, so that a kill meets a transfer and not its start."""
    moments = random.Random(17)  # noqa: S311  reproducible
    state = node.state
    state.mkdir(exist_ok=True)
    (state / "transfer-control.json").write_text(json.dumps({"paused": False, "rate": "20Mbit"}))
    kills = left = 0
    while kills < KILLS:
        with node.start("stage", REF) as process:
            time.sleep(moments.uniform(0.2, 0.9))  # the moment of the kill, not a wait for a state
            process.kill()
        kills += process.returncode != 0
        if node.staged.exists():  # it had ended before, or all but
            node.assert_exact()
            node.forget()
            left = 0
            continue
        status = json.loads((state / "transfer.json").read_text())
        if status["fetch_bytes"]:  # it was past planning
            assert not left or status["fetch_bytes"] <= left + CONNECTIONS * CHUNK_BYTES
            left = status["fetch_bytes"] - status["fetched_bytes"]
    (state / "transfer-control.json").unlink()
    assert node.stage()["ok"]
    node.assert_exact()
