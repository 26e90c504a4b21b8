"""Role ``site_cache`` on a store of the lab: what two hosts of a site stage crosses the link once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import fault_store
from tests.e2e import registry as depot
from tests.e2e.fault_store import FaultStore, Run
from tests.e2e.node_process import REF, Node, Published, answer, publish
from tests.e2e.relay import Relay, run_relay

pytestmark = pytest.mark.lab

PLAYBOOK = "playbooks/prepare_caches.yml"
EXTRA_BYTES = 20_000_000
NAME = "depot.site-cache.test"
PORT = 5080
DIRECTORY = "/var/cache/ovms-edge"
# TLS and the requests themselves come on top of the release.
SPARE_SHARE = 0.01


@dataclass(frozen=True)
class Cache:
    """A cache on a store, and the link between it and a depot."""

    store: FaultStore
    url: str
    release: Published
    link: Relay
    inputs: dict[str, Any]

    def node(self, directory: Path) -> Node:
        """Return a host of the site: its depot is away, so that all must come through the cache."""
        directory.mkdir()
        gone = f"https://127.0.0.1:{depot.free_port()}"
        return Node(directory, self.release, {"url": gone, "mirrors": [{"url": self.url}]}, give_up_seconds=5)

    def play(self, directory: Path, *options: str) -> Run:
        group = directory / "caches.yml"
        group.write_text(json.dumps({"caches": {"hosts": {self.store.name: {}}}}))
        return self.store.playbook(PLAYBOOK, "-i", str(group), *options, **self.inputs)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cache]:
    directory = tmp_path_factory.mktemp("release")
    (directory / "registry").mkdir()
    store = FaultStore("store-002", fault_store.ROOT / "inventory" / "lab")  # Debian 13
    here = store.shell("ip route show default").split()[2]
    address = store.shell(f"ip route get {here}").partition(" src ")[2].split()[0]
    tls = depot.make_tls(tmp_path_factory.mktemp("tls"), NAME)
    with (
        depot.run_registry(directory / "registry", tls) as registry,
        run_relay(registry.host, address=here) as link,
    ):
        store.shell(f"cp /etc/hosts /root/hosts && echo {here} {NAME} >> /etc/hosts")
        found = Cache(
            store,
            f"http://{address}:{PORT}",
            publish(directory, registry, EXTRA_BYTES),
            link,
            {
                "site_cache_origin": f"https://{NAME}:{link.host.partition(':')[2]}",
                "site_cache_origin_ca": tls.ca.read_text(),
                "site_cache_origin_user": depot.USER,
                "site_cache_origin_password": depot.PASSWORD,
            },
        )
        try:
            yield found
        finally:
            store.shell(
                "cat /root/hosts > /etc/hosts; systemctl disable --now ovms-site-cache; "
                f"rm -rf /root/hosts /etc/ovms-edge/site-cache {DIRECTORY} "
                "/etc/systemd/system/ovms-site-cache.service; systemctl daemon-reload"
            )


def changed(run: Run) -> int:
    assert run.status == 0, run.output
    assert depot.PASSWORD not in run.output
    found = re.search(r"store-002\s*: ok=\d+\s+changed=(\d+)", run.output)
    assert found, run.output
    return int(found[1])


def test_a_dry_run_on_a_bare_host_changes_nothing(cache: Cache, tmp_path: Path) -> None:
    assert changed(cache.play(tmp_path, "--check", "--diff")) > 0
    assert cache.store.shell("ls -d /etc/ovms-edge/site-cache || true") == ""


def test_the_second_run_changes_nothing(cache: Cache, tmp_path: Path) -> None:
    assert changed(cache.play(tmp_path)) > 0
    assert changed(cache.play(tmp_path)) == 0
    assert changed(cache.play(tmp_path, "--check")) == 0


def test_two_hosts_at_once_cost_the_link_one_copy(cache: Cache, tmp_path: Path) -> None:
    nodes = [cache.node(tmp_path / name) for name in ("first", "second")]
    before = cache.link.down_bytes
    processes = [node.start("stage", REF) for node in nodes]
    answers = [answer(process) for process in processes]
    assert [document["ok"] for document in answers] == [True, True], answers
    fetched = [document["fetch_bytes"] for document in answers]
    for node in nodes:
        node.assert_exact()
    assert fetched[0] == fetched[1] > EXTRA_BYTES
    assert cache.link.down_bytes - before < fetched[0] * (1 + SPARE_SHARE)


def test_a_host_that_comes_later_costs_next_to_nothing(cache: Cache, tmp_path: Path) -> None:
    before = cache.link.down_bytes
    assert cache.node(tmp_path / "later").stage()["changed"]
    assert cache.link.down_bytes - before < SPARE_SHARE * EXTRA_BYTES


def test_a_damaged_cache_is_asked_for_a_fresh_copy(cache: Cache, tmp_path: Path) -> None:
    damage = (
        f"find {DIRECTORY} -type f -size +1M | head -1 | "
        "xargs -I{} dd if=/dev/urandom of={} bs=1k seek=100 count=8 conv=notrunc status=none"
    )
    cache.store.shell(damage)
    node = cache.node(tmp_path / "damaged")
    before = cache.link.down_bytes
    assert node.stage()["changed"]
    node.assert_exact()
    assert cache.link.down_bytes - before > 1 << 20


def test_a_cache_that_is_gone_is_gone_past(cache: Cache, tmp_path: Path) -> None:
    registry = cache.release.registry
    settings = {
        "url": registry.url,
        "ca_file": str(registry.ca),
        "credentials_file": str(registry.credentials),
        "mirrors": [{"url": cache.url}],
    }
    node = Node(tmp_path, cache.release, settings)
    cache.store.shell("systemctl stop ovms-site-cache")
    try:
        assert node.stage()["changed"]
    finally:
        cache.store.shell("systemctl start ovms-site-cache")
    node.assert_exact()


def test_a_depot_that_refuses_the_login_is_told(cache: Cache, tmp_path: Path) -> None:
    cache.inputs["site_cache_origin_password"] = "another-secret"
    try:
        run = cache.play(tmp_path)
    finally:
        cache.inputs["site_cache_origin_password"] = depot.PASSWORD
    assert run.status != 0
    assert "answers 401; check site_cache_origin_user" in run.output
    assert "another-secret" not in run.output
    assert changed(cache.play(tmp_path)) > 0
