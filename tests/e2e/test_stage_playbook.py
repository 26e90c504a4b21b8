"""``playbooks/stage_release.yml``: detached from the connection, watched, paused from outside."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ovms_edge.manifest import ReleaseRef
from tests.e2e import fault_store
from tests.e2e.fault_store import FaultStore, Run

pytestmark = pytest.mark.lab

PLAYBOOK = "playbooks/stage_release.yml"
# The weights that only the new release has are 110 kB: this takes 4 s.
SLOW = "200kbit"
SLOWER = "100kbit"  # the playbook looks every 5 s
SLOWEST = "50kbit"
PAUSE_SECONDS = 1.0
LOST_SECONDS = 9.0  # the playbook looks every 5 s, and may be slow to come to it


@pytest.fixture
def store() -> Iterator[FaultStore]:
    found = FaultStore("store-001", fault_store.ROOT / "inventory" / "lab")
    found.run("ovms-node", "transfer", "rate", SLOW)
    try:
        yield found
    finally:
        found.shell("ovms-node transfer resume; ovms-node transfer rate schedule")


@pytest.fixture
def ref(store: FaultStore, tmp_path: Path) -> Iterator[ReleaseRef]:
    published = fault_store.publish(tmp_path)
    yield published
    store.shell(f"rm -rf /var/lib/ovms-edge/releases/{published.name}")


def play(store: FaultStore, ref: ReleaseRef) -> Run:
    return store.playbook(PLAYBOOK, "--limit", store.name, model_release_ref=str(ref))


def changed(run: Run, store: FaultStore) -> int:
    found = re.search(rf"{store.name}\s*: ok=\d+\s+changed=(\d+)", run.output)
    assert found, run.output
    return int(found[1])


def wait_for(store: FaultStore, *states: str) -> dict[str, object]:
    deadline = time.monotonic() + 20
    while (status := store.ask("transfer", "status"))["state"] not in states:
        assert time.monotonic() < deadline, status
        time.sleep(0.2)
    return status


def test_a_stage_goes_on_without_the_connection_and_is_found_again(
    store: FaultStore, ref: ReleaseRef
) -> None:
    started = store.ask("stage", str(ref), "--detach")
    assert (started["changed"], started["unit"]) == (True, "ovms-edge-stage.service")
    # whatever it was before: never how an earlier run ended
    assert store.ask("transfer", "status")["release"] == str(ref)
    assert store.ask("stage", str(ref), "--detach")["changed"] is False
    other = store.ask("stage", "another@1.0.0", "--detach")
    assert f"ovms-node stage {ref} runs since" in other["reason"]
    wait_for(store, "done")
    assert store.ask("stage", str(ref))["changed"] is False


def test_a_pause_holds_within_a_second(store: FaultStore, ref: ReleaseRef) -> None:
    store.ask("stage", str(ref), "--detach")
    wait_for(store, "fetching")
    store.ask("transfer", "pause")
    time.sleep(PAUSE_SECONDS)
    before = wait_for(store, "paused")["fetched_bytes"]
    time.sleep(2 * PAUSE_SECONDS)
    assert store.ask("transfer", "status")["fetched_bytes"] == before
    store.ask("transfer", "resume")
    assert wait_for(store, "done")["fetched_bytes"] != before


def test_a_connection_that_is_lost_is_waited_for(store: FaultStore, ref: ReleaseRef) -> None:
    store.run("ovms-node", "transfer", "rate", SLOWEST)
    with ThreadPoolExecutor() as pool:
        playing = pool.submit(play, store, ref)
        wait_for(store, "fetching")
        store.shell("systemctl stop ssh.service; pkill sshd || true")
        time.sleep(LOST_SECONDS)
        store.shell("systemctl start ssh.service")
        run = playing.result()
    assert run.status == 0, run.output
    assert re.search(r"store-001 .* unreachable", run.output), run.output
    assert re.search(rf"store-001 +{re.escape(str(ref))} +100 % .* done", run.output)
    assert changed(run, store) == 1


def test_the_playbook_shows_how_far_it_is_and_changes_nothing_again(
    store: FaultStore, ref: ReleaseRef
) -> None:
    store.run("ovms-node", "transfer", "rate", SLOWER)
    run = play(store, ref)
    assert run.status == 0, run.output
    assert changed(run, store) == 1
    assert re.search(rf"store-001 +{re.escape(str(ref))} +\d+ % +of +1\d\d\.\d KiB .* fetching", run.output)
    assert re.search(rf"store-001 +{re.escape(str(ref))} +100 % .* done", run.output)
    again = play(store, ref)
    assert again.status == 0, again.output
    assert changed(again, store) == 0
