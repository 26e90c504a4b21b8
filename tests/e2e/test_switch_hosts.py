"""A host that is not well: an activation says so, or succeeds, and the store serves on all the while."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e import fault_store
from tests.e2e.load import Load
from tests.e2e.switch_store import SwitchStore
from tests.e2e.two_releases import Two

pytestmark = pytest.mark.lab

STATE_DIR = "/var/lib/ovms-edge"
COPY = "/mnt/copy"
ROUTE = "/run/ovms-edge-gateway/route"
OTHER_PORT = 8003


@pytest.fixture
def load(two: Two) -> Iterator[Load]:
    """No request fails, and what was active is in the end."""
    two.activate(0)
    with Load(two.store.endpoint()) as running:
        yield running
        running.wait_for(1)
    assert running.report().faults == []
    two.assert_serves(0)


@contextmanager
def without_timer(store: SwitchStore) -> Iterator[None]:
    """Let nothing else write below the state directory meanwhile."""
    store.shell("systemctl stop ovms-edge-tend.timer; systemctl stop ovms-edge-tend.service")
    try:
        yield
    finally:
        store.run("systemctl", "start", "ovms-edge-tend.timer")


@contextmanager
def state_on_a_full_disk(store: SwitchStore) -> Iterator[None]:
    """Put a copy of the state directory over it, on a file system in which not one block is free."""
    with without_timer(store):
        store.shell(
            f"mkdir -p {COPY} && mount -t tmpfs -o size=64m tmpfs {COPY} && cp -a {STATE_DIR}/. {COPY}/ && "
            f"mount --bind {COPY} {STATE_DIR} && "
            f"{{ dd if=/dev/zero of={STATE_DIR}/fill bs=4k status=none || true; }}"
        )
        try:
            yield
        finally:
            store.shell(f"umount {STATE_DIR} && umount {COPY} && rmdir {COPY}")


@contextmanager
def state_read_only(store: SwitchStore) -> Iterator[None]:
    with without_timer(store):
        store.shell(f"mount --bind {STATE_DIR} {STATE_DIR} && mount -o remount,bind,ro {STATE_DIR}")
        try:
            yield
        finally:
            store.run("umount", STATE_DIR)


@contextmanager
def depot_down(store: SwitchStore) -> Iterator[str]:
    """Yield the depot's address, which refuses every connection."""
    address, _, port = fault_store.depot_url().removeprefix("https://").partition(":")
    rule = f"OUTPUT -d {address} -p tcp --dport {port} -j REJECT --reject-with tcp-reset"
    store.shell(f"iptables -I {rule}")
    try:
        yield address
    finally:
        store.shell(f"iptables -D {rule}")


def refusal(document: dict[str, Any], *said: str) -> None:
    assert document["ok"] is False, document
    assert document["remedy"]
    for text in said:
        assert text in document["reason"]


def assert_finds_its_way(store: SwitchStore, load: Load) -> None:
    """Requests are answered; also after the route is gone, as at boot."""
    load.wait_for(1)
    assert store.node("verify")["ok"]
    store.run("rm", ROUTE)
    store.node("tend")
    assert store.route() == store.active().slot
    load.wait_for(1)


@pytest.mark.parametrize("tier", ["A", "B"])
def test_disk_full(two: Two, load: Load, tier: str) -> None:
    with state_on_a_full_disk(two.store):
        refusal(
            two.store.activate(two.refs[1], **two.settings(tier=tier)), "No space left on device", STATE_DIR
        )
        assert_finds_its_way(two.store, load)


@pytest.mark.parametrize("tier", ["A", "B"])
def test_state_directory_read_only(two: Two, load: Load, tier: str) -> None:
    with state_read_only(two.store):
        refusal(
            two.store.activate(two.refs[1], **two.settings(tier=tier)), "Read-only file system", STATE_DIR
        )
        assert_finds_its_way(two.store, load)


def test_image_missing_and_depot_down(two: Two, load: Load) -> None:
    image = f"{two.store.settings()['image']}-never-pushed"
    with depot_down(two.store) as address:
        document = two.store.activate(two.refs[1], **two.settings(image=image))
        refusal(document, image, address)


def test_switch_to_what_is_here_needs_no_depot(two: Two, load: Load) -> None:
    with depot_down(two.store):
        two.activate(1)
        two.activate(0)


@pytest.mark.parametrize("shift", ["+1h", "-1h"])
def test_clock_an_hour_off(two: Two, load: Load, shift: str) -> None:
    """As ovms-node sees it, and what it calls: the kernel's clock is that of the whole machine."""
    two.store.shell("command -v faketime >/dev/null || apt-get install -qq -y faketime >/dev/null 2>&1")
    two.store.put("/root/settings.json", json.dumps(two.settings()))
    off = ("faketime", "-f", shift, "/usr/local/bin/ovms-node")
    for ref in (two.refs[1], two.refs[0]):
        document = two.store.document(*off, "activate", str(ref), "--server", "/root/settings.json")
        assert document["ok"], document
    assert two.store.document(*off, "tend")["ok"]
    assert two.store.document(*off, "verify")["ok"]


def test_gateway_is_not_moved_to_a_port_that_is_taken(two: Two, load: Load) -> None:
    two.store.shell(f"systemd-run --quiet --unit=taken python3 -m http.server {OTHER_PORT}")
    try:
        run = two.store.playbook("playbooks/prepare_hosts.yml", ovms_gateway_port=OTHER_PORT)
        assert run.status != 0, run.output
        assert "Traceback" not in run.output
        assert str(OTHER_PORT) in run.output
        load.wait_for(1)
    finally:
        two.store.run("systemctl", "stop", "taken")
        again = two.store.playbook("playbooks/prepare_hosts.yml")
    assert again.status == 0, again.output
