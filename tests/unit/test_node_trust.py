"""Withdrawn releases, keys that come and go, and what stays on a node."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, ReleaseRef
from ovms_edge.node.config import NodeConfig, Trust
from ovms_edge.node.depot import Depot
from ovms_edge.node.keep import clean, plan_cleaning
from ovms_edge.node.pace import Unhurried
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.pins import load_pins, save_pin
from ovms_edge.node.signature import verify_signature
from ovms_edge.node.state import Deployment, Pending, State, save_state
from ovms_edge.node.status import current_status, kept_status, last_status, refuse_revoked
from ovms_edge.oci import RELEASE_SIGNATURE, STATUS_LIST, STATUS_TAG
from ovms_edge.status_list import StatusList
from tests.unit.node_depot import FakeDepot, Publisher, manifest_of, node_config, put_oci, serve

REF = ReleaseRef("vlm", "1.0.0")
AT = "2026-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    return Publisher(tmp_path_factory.mktemp("keys") / "publisher")


@pytest.fixture
def fake() -> Iterator[FakeDepot]:
    with serve(FakeDepot()) as depot:
        yield depot


@pytest.fixture
def config(tmp_path: Path, fake: FakeDepot, publisher: Publisher) -> NodeConfig:
    found = node_config(tmp_path / "node", fake, publisher)
    found.state_dir.mkdir()
    return found


class Hurried(Unhurried):
    """Does not wait."""

    def wait(self, seconds: float, reason: str) -> None:
        """Go on at once."""


def source(config: NodeConfig) -> Depot:
    return Depot(config, Hurried())


def put(fake: FakeDepot, publisher: Publisher, status: StatusList) -> None:
    data = status.to_bytes()
    layers = [
        {"mediaType": STATUS_LIST, "digest": fake.put(data)},
        {"mediaType": RELEASE_SIGNATURE, "digest": fake.put(publisher.signature(data))},
    ]
    put_oci(fake, ReleaseRef(status.name, STATUS_TAG), layers, STATUS_TAG)


LIST = StatusList("vlm", 3, AT).revoking("1.0.0", "answers in French", AT)


def test_a_withdrawn_release_is_refused_with_its_reason(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    assert current_status(config, source(config), "vlm") is None
    put(fake, publisher, LIST)
    status = current_status(config, source(config), "vlm")
    assert status == LIST
    with pytest.raises(EdgeError, match=r"vlm@1\.0\.0 was revoked on 2026-01-01.*: answers in French"):
        refuse_revoked(status, REF)
    refuse_revoked(status, ReleaseRef("vlm", "1.0.1"))
    refuse_revoked(None, REF)


def test_a_store_without_a_link_goes_by_what_it_saw_last(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    put(fake, publisher, LIST)
    current_status(config, source(config), "vlm")
    dark = replace(config, depot=replace(config.depot, url="http://127.0.0.1:9"))
    assert last_status(dark, source(dark), "vlm") == LIST
    assert kept_status(dark, "vlm") == LIST


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        (replace(LIST, serial=2, revoked=()), "has serial 2: 3 was seen"),
        (replace(LIST, revoked=()), "two status lists of vlm with serial 3"),
        (None, "is gone: serial 3 was seen"),
    ],
)
def test_there_is_no_way_back_to_an_earlier_list(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher, later: StatusList | None, reason: str
) -> None:
    put(fake, publisher, LIST)
    current_status(config, source(config), "vlm")
    fake.tags.clear()
    if later:
        put(fake, publisher, later)
    with pytest.raises(EdgeError, match=reason):
        current_status(config, source(config), "vlm")
    assert last_status(config, source(config), "vlm") == LIST


def test_looking_without_keeping_leaves_nothing(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    put(fake, publisher, LIST)
    assert current_status(config, source(config), "vlm", keep=False) == LIST
    assert kept_status(config, "vlm") is None


def test_a_stranger_s_list_is_refused(config: NodeConfig, fake: FakeDepot, tmp_path: Path) -> None:
    put(fake, Publisher(tmp_path / "stranger"), LIST)
    with pytest.raises(EdgeError, match="the status list of vlm is signed by nobody"):
        current_status(config, source(config), "vlm")


def test_a_damaged_list_on_the_node_is_fetched_again(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    put(fake, publisher, LIST)
    current_status(config, source(config), "vlm")
    path = StatePaths(config.state_dir).status("vlm")
    path.write_bytes(path.read_bytes().replace(b"French", b"german"))
    assert kept_status(config, "vlm") is None
    assert current_status(config, source(config), "vlm") == LIST
    assert kept_status(config, "vlm") == LIST


def test_keys_rotate_one_after_the_other(tmp_path: Path, publisher: Publisher) -> None:
    other = Publisher(tmp_path / "other")
    signers, revoked = tmp_path / "signers", tmp_path / "revoked"
    data = b"a manifest\n"
    signatures = {name: one.signature(data) for name, one in (("old", publisher), ("new", other))}

    def holds(name: str, trust: Trust) -> bool:
        try:
            verify_signature("it", data, signatures[name], trust)
        except EdgeError:
            return False
        return True

    signers.write_text(publisher.allowed())
    trust = Trust(signers)
    assert [holds(name, trust) for name in ("old", "new")] == [True, False]
    signers.write_text(publisher.allowed() + other.allowed())
    assert [holds(name, trust) for name in ("old", "new")] == [True, True]
    revoked.write_text(publisher.key.with_suffix(".pub").read_text())
    trust = Trust(signers, revoked)
    assert [holds(name, trust) for name in ("old", "new")] == [False, True]


@pytest.mark.parametrize(
    ("options", "good"),
    [
        ('namespaces="ovms-edge-release",valid-before="20990101"', True),
        ('namespaces="ovms-edge-release",valid-before="20200101"', False),
        ('namespaces="ovms-edge-release",valid-after="20990101"', False),
        ('namespaces="git"', False),
    ],
)
def test_keys_expire_and_are_for_one_purpose(
    tmp_path: Path, publisher: Publisher, options: str, good: bool
) -> None:
    signers = tmp_path / "signers"
    signers.write_text(publisher.allowed(options))
    signature = publisher.signature(b"x")
    if good:
        verify_signature("it", b"x", signature, Trust(signers))
    else:
        with pytest.raises(EdgeError):
            verify_signature("it", b"x", signature, Trust(signers))


def test_a_signature_for_another_purpose_is_refused(tmp_path: Path, publisher: Publisher) -> None:
    signers = tmp_path / "signers"
    signers.write_text(publisher.allowed(""))
    with pytest.raises(EdgeError, match="does not hold"):
        verify_signature("it", b"x", publisher.signature(b"x", "git"), Trust(signers))


def staged(config: NodeConfig, *versions: str) -> None:
    """Put releases there as a stage leaves them, each later than the one before."""
    for number, version in enumerate(versions):
        directory = StatePaths(config.state_dir).release(ReleaseRef("vlm", version))
        directory.mkdir(parents=True)
        (directory / "a.bin").write_bytes(bytes(8192))
        (directory / MANIFEST_FILE).write_bytes(manifest_of({"a.bin": bytes(8192)}, version).to_bytes())
        os.utime(directory / MANIFEST_FILE, (1000 + number, 1000 + number))


def here(config: NodeConfig) -> list[str]:
    return sorted(path.name for path in StatePaths(config.state_dir).releases.glob("*/*"))


def deployment(version: str) -> Deployment:
    return Deployment(f"vlm@{version}", "m", {}, "s", "g", AT, {}, "a")


def test_gc_keeps_what_is_needed_and_the_newest(config: NodeConfig) -> None:
    staged(config, *"123456")
    paths = StatePaths(config.state_dir)
    save_state(paths.state, State(deployment("1"), deployment("2"), Pending("vlm@3", "s", "g", AT, "b")))
    save_pin(paths, ReleaseRef("vlm", "4"), pinned=True)
    cleaning = plan_cleaning(replace(config, releases_kept=5))
    assert {str(ref): why for ref, why in cleaning.kept} == {
        "vlm@1": "active", "vlm@2": "previous", "vlm@3": "pending", "vlm@4": "pinned here", "vlm@6": "newest",
    }  # fmt: skip
    assert here(config) == list("123456")
    clean(config, cleaning)
    assert here(config) == list("12346")
    assert cleaning.freed_bytes >= 8192
    again = plan_cleaning(replace(config, releases_kept=1))
    assert [str(ref) for ref in again.removed] == ["vlm@6"]
    assert not plan_cleaning(replace(config, releases_kept=9)).document["changed"]


def test_what_was_staged_now_stays_beside_active_and_previous(config: NodeConfig) -> None:
    staged(config, *"1234")
    save_state(StatePaths(config.state_dir).state, State(deployment("3"), deployment("4")))
    two = replace(config, releases_kept=2)
    clean(two, plan_cleaning(two, ReleaseRef("vlm", "1")))
    assert here(config) == ["1", "3", "4"]


def test_gc_keeps_what_the_status_list_pins_and_drops_what_it_withdraws(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    staged(config, *"1234")
    put(fake, publisher, StatusList("vlm", 1, AT).pinning("1", pinned=True).revoking("4", "bad", AT))
    current_status(config, source(config), "vlm")
    cleaning = plan_cleaning(replace(config, releases_kept=2))
    clean(config, cleaning)
    assert here(config) == ["1", "3"]


def test_gc_removes_what_calls_left_behind_a_week_ago(config: NodeConfig) -> None:
    paths = StatePaths(config.state_dir)
    old, new = (paths.staging(REF) / name for name in ("old", "new"))
    for directory in (old, new, paths.removed / "vlm@0"):
        directory.mkdir(parents=True)
        (directory / "f.part").write_bytes(b"x")
    week_ago = time.time() - 8 * 24 * 3600
    for path in (old, old / "f.part"):
        os.utime(path, (week_ago, week_ago))
    clean(config, plan_cleaning(config))
    assert not old.exists()
    assert new.exists()
    assert not paths.removed.exists()


def test_a_damaged_list_of_pins_keeps_everything(config: NodeConfig) -> None:
    staged(config, *"123")
    paths = StatePaths(config.state_dir)
    paths.pins.write_text("[]")
    with pytest.raises(EdgeError, match=r"pins\.json is damaged"):
        plan_cleaning(config)
    paths.pins.write_text(json.dumps({"pins": ["vlm@1"]}))
    assert load_pins(paths) == {ReleaseRef("vlm", "1")}
    assert save_pin(paths, ReleaseRef("vlm", "1"), pinned=False)
    assert not save_pin(paths, ReleaseRef("vlm", "1"), pinned=False)


@pytest.mark.parametrize(
    "change",
    [
        {"serial": 0},
        {"serial": "1"},
        {"schema": "x"},
        {"pinned": ["a/b"]},
        {"revoked": [{"version": "1"}]},
        {"extra": 1},
    ],
)
def test_a_status_list_that_is_none_is_refused(change: dict[str, object]) -> None:
    document = json.loads(LIST.to_bytes())
    assert StatusList.from_bytes(json.dumps(document).encode()) == LIST
    with pytest.raises(EdgeError, match="status list not readable"):
        StatusList.from_bytes(json.dumps({**document, **change}).encode())
