from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node import depot as depot_module
from ovms_edge.node.depot import Depot
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


@pytest.fixture
def client(tmp_path: Path, fake: FakeDepot, publisher: Publisher) -> Depot:
    config = node_config(tmp_path / "node", fake, publisher)
    return Depot(config.depot.url, None, config.depot.credentials_file)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depot_module, "_RETRY_DELAYS", (0.01, 0.01, 0.01))


def blob(client: Depot, offset: int = 0) -> bytes:
    return b"".join(client.blob(REF, sha256(DATA), offset, len(DATA)))


@pytest.mark.parametrize("auth", ["", "basic", "bearer"])
def test_manifest_signature_and_blobs_are_fetched(client: Depot, fake: FakeDepot, auth: str) -> None:
    fake.auth = auth
    assert client.signed_manifest(REF).manifest == manifest_of({"a.bin": DATA}).to_bytes()
    assert blob(client) == DATA
    sent = {headers.get("Authorization") for path, headers in fake.seen if path.startswith("/v2")}
    assert sent == {"": {None}, "basic": {None, BASIC}, "bearer": {None, TOKEN}}[auth]


def test_a_wrong_password_is_refused_at_once(tmp_path: Path, fake: FakeDepot) -> None:
    fake.auth = "basic"
    credentials = tmp_path / "c.json"
    host = fake.url.partition("//")[2]
    credentials.write_text(json.dumps({"auths": {host: {"auth": "c3RvcmU6d3Jvbmc="}}}))  # store:wrong
    with pytest.raises(EdgeError, match=r"refuses user store \(401\); check user and password") as caught:
        Depot(fake.url, None, credentials).signed_manifest(REF)
    assert "wrong" not in str(caught.value)
    assert len(fake.seen) == 2


def test_a_depot_that_wants_a_password_says_so(fake: FakeDepot) -> None:
    fake.auth = "basic"
    with pytest.raises(EdgeError, match="wants a user and a password"):
        Depot(fake.url, None, None).signed_manifest(REF)


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


def test_a_depot_that_is_down_is_named(client: Depot) -> None:
    gone = Depot("http://127.0.0.1:9", None, None)
    with pytest.raises(EdgeError, match=r"depot http://127\.0\.0\.1:9 cannot be reached.*refused"):
        gone.signed_manifest(REF)


def test_transient_failures_are_tried_again_and_then_reported(client: Depot, fake: FakeDepot) -> None:
    fake.failures = [503, 500]
    assert client.signed_manifest(REF).manifest
    fake.failures = [503] * 10
    with pytest.raises(EdgeError, match="answers 503"):
        client.signed_manifest(REF)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_is_taken_up_where_it_broke(client: Depot, fake: FakeDepot, ranges: bool) -> None:
    fake.ranges = ranges
    fake.cuts = [10_000, 60_000, 70_000] if not ranges else [10_000, 1, 50_000, 5000, 5000, 5000]
    assert blob(client) == DATA
    if ranges:
        assert fake.sent_blob_bytes == len(DATA)


def test_a_blob_is_fetched_from_an_offset(client: Depot) -> None:
    assert blob(client, 1000) == DATA[1000:]


def test_a_connection_that_brings_nothing_is_given_up(client: Depot, fake: FakeDepot) -> None:
    fake.cuts = [0] * 20
    with pytest.raises(EdgeError, match=f"connection ended at byte 0 of {len(DATA)}|IncompleteRead"):
        blob(client)


def test_a_blob_that_is_too_long_is_refused(client: Depot, fake: FakeDepot) -> None:
    fake.blobs[sha256(DATA)] = DATA + b"more"
    with pytest.raises(EdgeError, match="sends more than"):
        blob(client)


def test_a_redirect_is_followed_without_the_password(client: Depot, fake: FakeDepot) -> None:
    fake.auth = "basic"
    with serve(FakeDepot(blobs=dict(fake.blobs))) as store:
        fake.redirect_to = store.url
        assert blob(client, 1000) == DATA[1000:]
        ((_, headers),) = store.seen
    assert "Authorization" not in headers
    assert headers["Range"] == "bytes=1000-"


def test_what_a_redirect_target_answers_is_told_without_its_query(client: Depot, fake: FakeDepot) -> None:
    with serve(FakeDepot(failures=[403])) as store:
        fake.redirect_to = f"{store.url}/bucket?X-Amz-Signature=SECRETSIG&at="
        with pytest.raises(EdgeError) as caught:
            blob(client)
    assert "SECRETSIG" not in str(caught.value)
    assert f"redirects to {store.url}, which answers 403" in caught.value.reason


def test_a_manifest_cut_short_is_fetched_again(client: Depot, fake: FakeDepot) -> None:
    fake.cuts = [20]
    assert client.signed_manifest(REF).manifest.endswith(b"}\n")


def test_a_token_server_that_is_busy_is_asked_again(client: Depot, fake: FakeDepot) -> None:
    fake.auth = "bearer"
    fake.token_failures = [503, 503]
    assert blob(client) == DATA
