"""Rollouts over real stores: offline and failing ones, a bad release, the way back, a controller that dies.

OVMS_EDGE_ROLLOUT_STORES says over how many stores, 4 by default.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ovms_edge.manifest import ReleaseRef
from tests.e2e import bad_models as models
from tests.e2e import fault_store
from tests.e2e.fault_store import LAB
from tests.e2e.rollout_stores import Fleet, fleet_of, loads
from tests.e2e.sabotage import KILL, at_load, sabotaged

pytestmark = pytest.mark.lab

STORES = int(os.environ.get("OVMS_EDGE_ROLLOUT_STORES", "4"))
OFFLINE = 2 if STORES > 5 else 1
CANARIES = 2 if STORES > 5 else 1


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    names = [f"rollout-{number:02}" for number in range(1, STORES + 1)]
    with fleet_of(names, tmp_path_factory.mktemp("rollout")) as found:
        yield found


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReleaseRef, ReleaseRef]:
    """A good release, and one that says what it should not."""
    directory = tmp_path_factory.mktemp("releases")
    good = models.publish(directory / "good")
    bad = models.publish(directory / "bad", after=models.other_words(37), matches="^nothing that it says")
    return good, bad


def test_a_bad_release_stops_in_the_canary_wave(
    fleet: Fleet, releases: tuple[ReleaseRef, ReleaseRef]
) -> None:
    before = fleet.serving()
    rollout = fleet.planned(
        releases[1], {"name": "canary", "count": CANARIES}, {"name": "rest"}, budget={"failed": 0}
    )
    with loads(fleet.stores) as running:
        said = rollout.start(status=1)
    assert "paused" in said
    assert [load.report().faults for load in running] == [[]] * len(running)
    assert fleet.serving() == before
    document = rollout.status()
    failed = [store for store in document["stores"] if store["state"] == "failed"]
    assert {store["wave"] for store in failed} == {"canary"}
    assert all("does not match" in store["reason"] for store in failed), failed
    assert document["waves"][1]["state"] == "waiting"
    activations = [event for event in document["history"] if event["to"] == "activating"]
    assert {event["wave"] for event in activations} == {"canary"}


SERIAL = """
- hosts: stores
  gather_facts: false
  order: reverse_sorted
  serial: {serial}
  max_fail_percentage: {percent}
  tasks:
    - name: Move
      ansible.builtin.raw: echo moved
"""


@pytest.mark.parametrize(
    ("serial", "percent", "moves"),
    [(1, 100, False), (2, 0, True)],
    ids=["a batch that is offline ends the play", "half of a batch is lost and nothing stops"],
)
def test_what_ansible_s_own_waves_do_where_a_store_is_offline(
    fleet: Fleet, serial: int, percent: int, moves: bool
) -> None:
    """Why there is an engine: the last store, which is first here, is offline, and all others are well."""
    away = fleet.stores[-1]
    playbook = fleet.directory / f"serial-{serial}.yml"
    playbook.write_text(SERIAL.format(serial=serial, percent=percent))
    away.power_off()
    try:
        run = away.playbook(str(playbook))
    finally:
        fault_store.lab("restart", away.name)
    recap = run.output.partition("PLAY RECAP")[2]
    reached = {name for name in fleet.names if f"{name} " in recap} - {away.name}
    assert reached == (set(fleet.names) - {away.name} if moves else set()), run.output
    assert run.status == 4


def test_offline_and_failing_stores_end_as_planned_and_all_go_back(
    fleet: Fleet, releases: tuple[ReleaseRef, ReleaseRef]
) -> None:
    """Three waves; some stores offline, one that fails its gate; a controller killed; then all back."""
    good = releases[0]
    before = fleet.serving()
    away, broken = fleet.stores[-OFFLINE:], fleet.stores[0]
    here = fleet.stores[:-OFFLINE]
    for store in away:
        store.power_off()
    rollout = fleet.planned(
        good,
        {"name": "canary", "stores": f"{broken.name},{fleet.names[1]}", "soak": "5s"},
        {"name": "second", "count": max(1, (STORES - 2) // 2)},
        {"name": "third"},
        budget={"failed": 1, "late": 0},
        retry_every="20s",
    )
    surveyed = rollout.surveyed()
    assert [name for name, said in surveyed.items() if not said["reached"]] == [store.name for store in away]
    assert all(surveyed[store.name]["fetch_bytes"] > 0 for store in here), "it was never here"
    with ExitStack() as stack:
        running = stack.enter_context(loads(here))
        struck = stack.enter_context(sabotaged(broken, good, at_load(KILL)))
        del struck
        start = ("start", str(rollout.plan), "-i", str(fleet.inventory))
        with rollout.running(*start) as controller:
            rollout.wait_until(lambda document: "activating" in document["counts"])
            controller.send_signal(signal.SIGKILL)
        with rollout.running("resume"):
            moved = {store.name for store in here if store is not broken}
            ends = {"serving": moved, "unreachable": {store.name for store in away}, "failed": {broken.name}}
            document = rollout.wait_until(lambda found: by_state(found) == ends)
            assert document["state"] == "running"
            for store in away:
                fault_store.lab("restart", store.name)
            rollout.wait_until(lambda found: found["ended"] is not None)
        assert [load.report().faults for load in running] == [[]] * len(running)
    expected = {name: str(good) for name in fleet.names} | {broken.name: before[broken.name]}
    assert fleet.serving() == expected
    assert rollout.states()[broken.name] == "failed"
    activated = [
        sum(entry["event"] == "activated" and entry["release"] == str(good) for entry in store.journal())
        for store in fleet.stores
    ]
    assert activated == [0] + [1] * (STORES - 1), "none was activated twice"
    assert fleet.stores[-1].journal()[-1]["run"] == rollout.status()["id"][-64:]

    revocation = ("--revoke", "--reason", "reads 7 as 1", "--key", str(LAB / "signer/id_ed25519"))
    depot = (
        *("--depot", fault_store.depot_url(), "--ca", str(LAB / "depot/ca.pem")),
        *("--credentials", str(LAB / "depot/credentials.json")),
    )
    with loads(fleet.stores) as running:
        said = rollout.edge("rollback", *revocation, *depot)
    assert f"{good} revoked: reads 7 as 1" in said
    assert [load.report().faults for load in running] == [[]] * len(running)
    assert fleet.serving() == before
    assert set(rollout.states().values()) == {"rolled_back", "failed"}
    again = fleet.stores[-1].node("stage", str(good), "--verify")
    assert not again["ok"]
    assert f"{good} was revoked on " in again["reason"]


def by_state(document: dict[str, Any]) -> dict[str, set[str]]:
    stores: dict[str, set[str]] = {}
    for store in document["stores"]:
        stores.setdefault(store["state"], set()).add(store["store"])
    return stores
