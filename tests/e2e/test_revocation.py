"""A store that was dark learns with the next release that an earlier one was withdrawn."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ovms_edge.cli import main as controller
from ovms_edge.manifest import ReleaseRef
from ovms_edge.release.build import build_release
from ovms_edge.release.publish import publish_release
from ovms_edge.release.sign import sign_release
from tests.e2e import fault_store
from tests.e2e.fault_store import LAB, FaultStore

pytestmark = pytest.mark.lab

KEY = LAB / "signer/id_ed25519"


@pytest.fixture
def store() -> FaultStore:
    return FaultStore("store-003", fault_store.ROOT / "inventory" / "lab")


@pytest.fixture
def releases(store: FaultStore, tmp_path: Path) -> Iterator[list[ReleaseRef]]:
    """Two releases of a model that no other test knows, since a list of revocations is for ever."""
    name = f"revoked-{uuid.uuid4().hex[:8]}"
    model = fault_store.model_copy(tmp_path)
    refs = [ReleaseRef(name, version) for version in ("1.0.0", "2.0.0")]
    for ref in refs:
        built = build_release(model, ref, tmp_path / "releases", (fault_store.OVMS_VERSION,))
        sign_release(built.directory, KEY)
        publish_release(built.directory, fault_store.depot())
    yield refs
    store.shell(f"rm -rf /var/lib/ovms-edge/releases/{name} /var/lib/ovms-edge/status/{name}.json")


def release(*words: str) -> None:
    at = ["--ca", str(LAB / "depot/ca.pem"), "--credentials", str(LAB / "depot/credentials.json")]
    assert controller(["release", *words, "--depot", fault_store.depot_url(), *at]) == 0


@contextmanager
def dark(store: FaultStore) -> Iterator[None]:
    """Take the depot from the store."""
    address = fault_store.depot_url().partition("//")[2].partition(":")[0]
    store.shell(f"ip route add blackhole {address}/32")
    try:
        yield
    finally:
        store.shell(f"ip route del blackhole {address}/32")


def test_a_withdrawn_release_is_not_activated_with_or_without_the_depot(
    store: FaultStore, releases: list[ReleaseRef]
) -> None:
    withdrawn, good = releases
    serving = store.serving()
    assert store.ask("stage", str(withdrawn))["changed"]
    release("revoke", str(withdrawn), "--reason", "reads 7 as 1", "--key", str(KEY))
    assert store.ask("stage", str(good))["changed"]
    with dark(store):
        refusal = store.ask("activate", str(withdrawn))
    assert not refusal["ok"]
    assert f"{withdrawn} was revoked on " in refusal["reason"]
    assert refusal["reason"].endswith("reads 7 as 1")
    again = store.ask("stage", str(withdrawn), "--verify")
    assert f"{withdrawn} was revoked on " in again["reason"]
    after = store.serving()
    assert (after.container, after.started, after.active) == (
        serving.container,
        serving.started,
        serving.active,
    )
