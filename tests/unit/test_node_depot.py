from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.config import DepotServer, NodeConfig, TransferSettings, Trust
from ovms_edge.node.depot import Depot
from ovms_edge.node.pace import Unhurried
from ovms_edge.node.source import GaveUpError, Wanted
from ovms_edge.node.work import Work
from ovms_edge.oci import RELEASE_MANIFEST
from tests.unit.node_depot import (
    BASIC,
    TOKEN,
    FakeDepot,
    Publisher,
    manifest_of,
    node_config,
    put_oci,
    serve,
    sha256,
)

REF = ReleaseRef("vlm", "1.0.0")
DATA = bytes(range(256)) * 400


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path / "publisher")


@pytest.fixture
def fake(publisher: Publisher) -> Iterator[FakeDepot]:
    with serve(FakeDepot()) as depot:
        publisher.publish(depot, manifest_of({"a.bin": DATA}), {"a.bin": DATA})
        yield depot


class Waiting(Unhurried):
    """Remembers how long it was to wait, and does not."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def wait(self, seconds: float, reason: str) -> None:
        if seconds:
            self.waited.append(seconds)


@pytest.fixture
def pace() -> Waiting:
    return Waiting()


@pytest.fixture
def config(tmp_path: Path, fake: FakeDepot, publisher: Publisher) -> NodeConfig:
    return node_config(tmp_path / "node", fake, publisher)


@pytest.fixture
def client(config: NodeConfig, pace: Waiting) -> Depot:
    return Depot(config, pace)


def depot_at(
    *urls: str, credentials: Path | None = None, pace: Waiting | None = None, **transfer: int
) -> Depot:
    *mirrors, depot = (DepotServer(url, None, credentials) for url in urls)
    config = NodeConfig(
        *(Path("/nonexistent"), Path("/sys"), depot, Trust(Path("/nonexistent"))),
        mirrors=tuple(mirrors),
        transfer=TransferSettings(**transfer),
    )
    return Depot(config, pace or Waiting())


RUN = 1000


def blob(client: Depot, offset: int = 0, data: bytes = DATA) -> bytes:
    """All of the blob from ``offset`` on, by runs that are checked as a stage does."""
    got: dict[int, bytes] = {}

    def wanted(start: int) -> Wanted:
        good = data[start : start + RUN]

        def accept(run: bytes) -> bool:
            if run != good:
                return False
            assert start not in got
            got[start] = bytes(run)
            return True

        return Wanted(sha256(data), start, len(good), accept)

    client.fetch("models/vlm", [wanted(start) for start in range(offset, len(data), RUN)])
    return b"".join(got[start] for start in sorted(got))


@pytest.mark.parametrize("auth", ["", "basic", "bearer"])
def test_manifest_signature_and_blobs_are_fetched(client: Depot, fake: FakeDepot, auth: str) -> None:
    fake.auth = auth
    assert client.signed_manifest(REF).data == manifest_of({"a.bin": DATA}).to_bytes()
    assert blob(client) == DATA
    sent = {headers.get("Authorization") for path, headers in fake.seen if path.startswith("/v2")}
    assert sent == {"": {None}, "basic": {None, BASIC}, "bearer": {None, TOKEN}}[auth]


def test_a_wrong_password_is_refused_at_once(tmp_path: Path, fake: FakeDepot) -> None:
    fake.auth = "basic"
    credentials = tmp_path / "c.json"
    host = fake.url.partition("//")[2]
    credentials.write_text(json.dumps({"auths": {host: {"auth": "c3RvcmU6d3Jvbmc="}}}))  # store:wrong
    with pytest.raises(EdgeError, match=r"refuses user store \(401\); check user and password") as caught:
        depot_at(fake.url, credentials=credentials).signed_manifest(REF)
    assert "wrong" not in str(caught.value)
    assert len(fake.seen) == 2


def test_a_depot_that_wants_a_password_says_so(fake: FakeDepot) -> None:
    fake.auth = "basic"
    with pytest.raises(EdgeError, match="wants a user and a password"):
        depot_at(fake.url).signed_manifest(REF)


def test_a_missing_release_is_named(client: Depot) -> None:
    with pytest.raises(EdgeError, match=r"has no vlm@2"):
        client.signed_manifest(ReleaseRef("vlm", "2"))


def test_an_unsigned_release_is_refused(client: Depot, fake: FakeDepot) -> None:
    layers = [{"mediaType": RELEASE_MANIFEST, "digest": fake.put(b"{}")}]
    put_oci(fake, REF, layers, "1.0.0")
    with pytest.raises(EdgeError, match=r"vlm@1\.0\.0 in the depot .* has no manifest\.json\.sig; sign"):
        client.signed_manifest(REF)


def test_a_manifest_that_is_not_its_digest_is_refused(client: Depot, fake: FakeDepot) -> None:
    data = manifest_of({"a.bin": DATA}).to_bytes()
    fake.blobs[sha256(data)] = data.replace(b"vlm", b"wlm")
    with pytest.raises(EdgeError, match="does not match its digest"):
        client.signed_manifest(REF)


def test_a_depot_that_is_down_is_named() -> None:
    gone = depot_at("http://127.0.0.1:9")
    with pytest.raises(EdgeError, match=r"depot http://127\.0\.0\.1:9 cannot be reached.*refused"):
        gone.signed_manifest(REF)


def test_transient_failures_are_tried_again_and_then_reported(client: Depot, fake: FakeDepot) -> None:
    fake.failures = [503, 500]
    assert client.signed_manifest(REF).data
    fake.failures = [503] * 10
    with pytest.raises(EdgeError, match="answers 503"):
        client.signed_manifest(REF)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_is_taken_up_where_it_broke(client: Depot, fake: FakeDepot, ranges: bool) -> None:
    fake.ranges = ranges
    fake.cuts = [10_500, 60_500, 70_000] if not ranges else [10_000, 1, 50_000, 5999, 5000, 5000]
    assert blob(client) == DATA
    if ranges:
        assert fake.sent_blob_bytes <= len(DATA) + 6 * RUN


def test_a_blob_is_fetched_from_an_offset(client: Depot) -> None:
    assert blob(client, 1000) == DATA[1000:]


def test_a_connection_that_brings_nothing_is_given_up(config: NodeConfig, fake: FakeDepot) -> None:
    fake.cuts = [0] * 10_000
    client = depot_at(fake.url, give_up_seconds=1)
    with pytest.raises(GaveUpError, match=r"nothing came for 1 s: .*connection ended early; stage again"):
        blob(client)
    fake.cuts = []
    assert blob(client) == DATA


def test_wrong_bytes_are_asked_for_anew_and_then_refused(client: Depot, fake: FakeDepot) -> None:
    wrong = bytearray(DATA)
    wrong[50_000] ^= 1
    fake.blobs[sha256(DATA)] = bytes(wrong)
    with pytest.raises(EdgeError, match=r"sends other bytes than were published at 50000 of sha256:"):
        blob(client)
    asked = [headers for path, headers in fake.seen if path.endswith(sha256(DATA))]
    assert [headers.get("Cache-Control") for headers in asked] == [None, "no-cache"]


def test_the_next_server_is_asked_where_one_has_wrong_bytes_or_none(fake: FakeDepot) -> None:
    wrong = bytes([DATA[0] ^ 1]) + DATA[1:]
    with serve(FakeDepot(blobs={sha256(DATA): wrong})) as bad, serve(FakeDepot()) as empty:
        assert blob(depot_at(bad.url, empty.url, fake.url)) == DATA
        assert bad.seen
        assert empty.seen


def test_mirrors_serve_before_the_depot_does(fake: FakeDepot) -> None:
    with serve(FakeDepot(blobs=dict(fake.blobs), tags=dict(fake.tags))) as mirror:
        client = depot_at(mirror.url, fake.url)
        assert client.signed_manifest(REF).data
        assert blob(client) == DATA
    assert not fake.seen


def test_a_mirror_that_is_down_is_passed_over_for_a_while(fake: FakeDepot, pace: Waiting) -> None:
    client = depot_at("http://127.0.0.1:9", fake.url, pace=pace)
    assert client.signed_manifest(REF).data
    assert blob(client) == DATA
    assert pace.waited == []


def test_a_busy_server_says_when_to_come_again(client: Depot, fake: FakeDepot, pace: Waiting) -> None:
    fake.failures, fake.retry_after = [429, 503], "7"
    assert blob(client) == DATA
    assert sum(pace.waited) == pytest.approx(14, abs=0.5)


def test_connections_are_kept(client: Depot, fake: FakeDepot) -> None:
    client.signed_manifest(REF)
    assert blob(client) == DATA
    assert blob(client) == DATA
    assert fake.connections <= 4


def test_a_server_without_ranges_sends_a_blob_once(client: Depot, fake: FakeDepot) -> None:
    fake.ranges = False
    assert blob(client, 50_000) == DATA[50_000:]
    assert fake.sent_blob_bytes <= len(DATA)


def test_what_the_caller_raises_ends_the_fetch(client: Depot) -> None:
    def full(run: bytes) -> bool:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        client.fetch("models/vlm", [Wanted(sha256(DATA), 0, 10, full)])


def test_requests_are_of_several_runs_but_not_of_what_lies_between() -> None:
    def run(offset: int, size: int) -> Wanted:
        return Wanted("a", offset, size, lambda data: True)

    work = Work([run(10, 5), run(0, 10), run(20, 5), run(30, 12 << 20), run(30 + (12 << 20), 8 << 20)])
    taken = []
    while (batch := work.take()) is not None:
        taken.append((batch.start, batch.end))
        work.is_ranged(batch)
        batch.left.clear()
        work.give_back(batch)
    assert taken == [(0, 15), (20, 25), (30, 30 + (12 << 20)), (30 + (12 << 20), 30 + (20 << 20))]


def test_a_proxy_of_the_environment_is_used_and_no_proxy_is_obeyed(
    fake: FakeDepot, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(FakeDepot(blobs=dict(fake.blobs))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://me:pw@"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert blob(depot_at(fake.url)) == DATA
        assert not proxy.seen
        monkeypatch.setenv("no_proxy", "")
        proxy.strip = "http://depot.example:5000"
        assert blob(depot_at("http://depot.example:5000")) == DATA
        assert proxy.seen
        assert proxy.seen[0][1]["Proxy-Authorization"] == "Basic bWU6cHc="


def test_a_redirect_is_followed_without_the_password(client: Depot, fake: FakeDepot) -> None:
    fake.auth = "basic"
    with serve(FakeDepot(blobs=dict(fake.blobs))) as store:
        fake.redirect_to = store.url
        assert blob(client, 1000) == DATA[1000:]
        ((_, headers),) = store.seen
    assert "Authorization" not in headers
    assert headers["Range"] == f"bytes=1000-{len(DATA) - 1}"


def test_what_a_redirect_target_answers_is_told_without_its_query(client: Depot, fake: FakeDepot) -> None:
    with serve(FakeDepot(failures=[403])) as store:
        fake.redirect_to = f"{store.url}/bucket?X-Amz-Signature=SECRETSIG&at="
        with pytest.raises(EdgeError) as caught:
            blob(client)
    assert "SECRETSIG" not in str(caught.value)
    assert f"redirects to {store.url}, which answers 403" in caught.value.reason


def test_a_manifest_cut_short_is_fetched_again(client: Depot, fake: FakeDepot) -> None:
    fake.cuts = [20]
    assert client.signed_manifest(REF).data.endswith(b"}\n")


def test_a_token_server_that_is_busy_is_asked_again(client: Depot, fake: FakeDepot) -> None:
    fake.auth = "bearer"
    fake.token_failures = [503, 503]
    assert blob(client) == DATA
