"""Switching models under a steady load: no request fails, in either tier, whatever is switched.

OVMS_EDGE_SWITCHES is how often in each tier (default 4).
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.fault_store import LAB
from tests.e2e.load import Load
from tests.e2e.stopped import stop_at
from tests.e2e.switch_store import SwitchStore
from tests.e2e.two_releases import Two

pytestmark = pytest.mark.lab

SWITCHES = int(os.environ.get("OVMS_EDGE_SWITCHES", "4"))
TIERS = ("A", "B")


@pytest.mark.parametrize("tier", TIERS)
def test_switches_between_two_releases(two: Two, tier: str) -> None:
    two.activate(0, tier=tier)
    with Load(two.store.endpoint()) as load:
        for number in range(1, SWITCHES + 1):
            document = two.activate(number, tier=tier)
            assert document["tier"] == tier
            load.wait_for(1)
    report = load.report()
    assert report.faults == []
    assert report.signatures == set(two.signatures)
    assert any(asked.reused for asked in report.requests)
    two.assert_serves(SWITCHES)


@pytest.mark.parametrize("tier", TIERS)
def test_other_tuning_of_the_same_release_takes_the_same_way(two: Two, tier: str) -> None:
    two.activate(0, tier=tier)
    before = two.store.active()
    with Load(two.store.endpoint()) as load:
        for changes in ({"cache_size": 3}, {"graph": {"max_num_seqs": 2}}, {"cache_size": 2}):
            document = two.activate(0, tier=tier, **changes)
            assert document["changed"]
            assert document["tier"] == tier
    assert load.report().faults == []
    after = two.store.active()
    assert (after.release, after.slot != before.slot) == (before.release, True)  # an odd number of switches
    assert after.spec != before.spec
    two.assert_serves(0)


@pytest.fixture(scope="module")
def other_image(two: Two) -> Iterator[str]:
    """The stand-in with one label more in the depot, as another version of OVMS would come."""
    image = two.store.settings()["image"]
    other = f"{image}-next"
    docker("build", "--quiet", "--tag", other, "-", stdin=f"FROM {image}\nLABEL next=1\n")
    try:
        docker("--config", str(LAB / "docker"), "push", "--quiet", other)
        yield other
    finally:
        docker("image", "rm", other)


def docker(*words: str, stdin: str = "") -> None:
    environment = os.environ | {"DOCKER_BUILDKIT": "0"}
    subprocess.run(
        ["docker", *words], input=stdin, check=True, capture_output=True, text=True, env=environment
    )


@pytest.mark.parametrize("tier", TIERS)
def test_other_image_and_back(two: Two, other_image: str, tier: str) -> None:
    two.activate(0, tier=tier)
    image = running_image(two.store)
    with Load(two.store.endpoint()) as load:
        assert two.activate(0, tier=tier, image=other_image)["changed"]
        assert running_image(two.store) == other_image
        document = two.store.node("rollback")
        assert document["ok"], document
    assert load.report().faults == []
    assert running_image(two.store) == image
    two.assert_serves(0)


def running_image(store: SwitchStore) -> str:
    container = f"ovms-vlm-{store.active().slot}"
    return store.run("docker", "inspect", "--format", "{{.Config.Image}}", container).strip()


@pytest.mark.parametrize("tier", TIERS)
def test_rollback(two: Two, tier: str) -> None:
    two.activate(0, tier=tier)
    two.activate(1, tier=tier)
    with Load(two.store.endpoint()) as load:
        document = two.store.node("rollback")
        assert document["ok"], document
        assert document["tier"] == tier
        load.wait_for(1)
    report = load.report()
    assert report.faults == []
    assert report.signatures == set(two.signatures)
    two.assert_serves(0)


def test_second_caller_is_told_who_works_here_and_since_when(two: Two) -> None:
    two.activate(0, tier="A")
    words = ("activate", str(two.refs[1]), "--server", "-")
    first = stop_at(two.store, "created", *words, stdin=two.settings())
    try:
        document = two.store.node("activate", str(two.refs[0]), "--wait", "0")
    finally:
        first.go_on()
    assert not document["ok"]
    assert re.search(
        rf"pid {first.pid}, 'activate {two.refs[1]} .*since \d{{4}}-\d\d-\d\dT", document["reason"]
    )
    assert first.end()["ok"]
    two.assert_serves(1)


def test_second_caller_waits(two: Two) -> None:
    two.activate(0, tier="A")
    words = ("activate", str(two.refs[1]), "--server", "-")
    with Load(two.store.endpoint()) as load, ThreadPoolExecutor(1) as pool:
        first = stop_at(two.store, "created", *words, stdin=two.settings())
        second = pool.submit(two.store.node, "activate", str(two.refs[0]), "--wait", "60")
        time.sleep(1)
        assert not second.done()
        first.go_on()
        assert first.end()["ok"]
        assert second.result()["changed"]
    assert load.report().faults == []
    two.assert_serves(0)
