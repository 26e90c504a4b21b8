"""What goes wrong in a store: it serves again by itself, or refuses with a reason and stays as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.manifest import ReleaseRef
from tests.e2e import fault_store, reboot
from tests.e2e.fault_store import FaultStore, Run
from tests.e2e.switch_store import SwitchStore, running_store

pytestmark = pytest.mark.lab

MEMORY_GIB = 16
SMALL_DISK = "/mnt/small"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwitchStore]:
    """A store of its own, brought from bare to serving once."""
    name, inventory = "fault-tests", tmp_path_factory.mktemp("inventory")
    made = ("--debian", "12", "--memory-gib", str(MEMORY_GIB), "--render-gid", "991")
    fault_store.lab("add", name, *made, "--inventory", str(inventory))
    try:
        found = running_store(name, inventory)
        run = found.playbook("site.yml")
        assert run.status == 0, run.output
        yield found
    finally:
        fault_store.lab("remove", name)


@pytest.fixture
def unharmed(store: FaultStore) -> Iterator[None]:
    """The fault leaves the container, what is active and what is staged as they were, and answering."""
    before = store.serving()
    yield
    assert store.serving() == before
    assert store.ask("verify")["ok"]


def assert_refused(run: Run, *said: str) -> None:
    assert run.status != 0, run.output
    for text in said:
        assert text in run.output
    assert "Traceback" not in run.output


def kill_server(store: FaultStore) -> None:
    store.shell(f"kill -9 $(docker inspect --format '{{{{.State.Pid}}}}' {store.server()})")


def kill_engine(store: FaultStore) -> None:
    store.shell("kill -9 $(pidof dockerd)")


SERVER_STARTED = (
    "docker inspect --format {{.State.StartedAt}} $(docker ps --all --quiet --filter name=ovms-vlm)"
)


@pytest.mark.parametrize(("fault", "life"), [
    (kill_server, SERVER_STARTED),
    (kill_engine, "pidof dockerd"),
])  # fmt: skip
def test_serves_again_without_a_hand(
    store: FaultStore, fault: Callable[[FaultStore], None], life: str
) -> None:
    """``life`` prints what differs once the fault has struck."""
    before, first_life = store.serving(), store.shell(life)
    fault(store)
    document = store.wait_until_serving(lambda: store.shell(life) != first_life)
    after = store.serving()
    assert (after.container, after.active) == (before.container, before.active)
    assert document["release"] == before.active["release"]


@pytest.mark.parametrize("goes_down", [reboot.restart, reboot.cut_power])
def test_a_host_that_went_down_under_load_serves_the_same_by_itself(
    store: SwitchStore, goes_down: Callable[[FaultStore], None]
) -> None:
    """benchmarks/reboot.py tells what it cost."""
    down = reboot.under_load(store, goes_down)
    assert down.kinds.total() > 0, "nothing went down"
    assert down.served_the_same, down
    assert down.failed_after == []
    assert store.ask("verify")["ok"]


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(("publish", "said"), [
    (fault_store.publish_unsigned, "manifest.json.sig"),
    (fault_store.publish_by_a_stranger, "allowed_signers"),
    (fault_store.publish_with_a_flipped_byte, "openvino_language_model.bin"),
])  # fmt: skip
def test_wrong_release_is_not_staged(
    store: FaultStore, tmp_path: Path, publish: Callable[[Path], ReleaseRef], said: str
) -> None:
    ref = publish(tmp_path)
    assert_refused(store.playbook("site.yml", model_release_ref=str(ref)), said, str(ref))


@pytest.mark.usefixtures("unharmed")
def test_good_release_of_the_same_kind_is_staged(store: FaultStore, tmp_path: Path) -> None:
    """So the refusals above are of the fault, and not of how these releases are made."""
    ref = fault_store.publish(tmp_path)
    run = store.playbook("playbooks/stage_release.yml", model_release_ref=str(ref))
    assert run.status == 0, run.output
    directory = f"/var/lib/ovms-edge/releases/{ref.name}/{ref.version}"
    store.run("rm", "-r", directory, str(Path(directory).parent))


@pytest.mark.usefixtures("unharmed")
def test_wrong_registry_password(store: FaultStore, tmp_path: Path) -> None:
    ref = fault_store.publish(tmp_path)
    address = fault_store.depot_url().removeprefix("https://")
    ca = (fault_store.LAB / "depot/ca.pem").read_text()
    login = {"address": address, "ca": ca, "username": "ovms-edge", "password": "not-the-password"}
    try:
        run = store.playbook("site.yml", model_release_ref=str(ref), docker_engine_registries=[login])
        assert_refused(run, address, "password")
        assert login["password"] not in run.output
    finally:
        assert store.playbook("playbooks/prepare_hosts.yml").status == 0


@pytest.mark.usefixtures("unharmed")
def test_depot_down(store: FaultStore, tmp_path: Path) -> None:
    ref = fault_store.publish(tmp_path)
    address, _, port = fault_store.depot_url().removeprefix("https://").partition(":")
    rule = f"OUTPUT -d {address} -p tcp --dport {port} -j REJECT --reject-with tcp-reset"
    store.shell(f"iptables -I {rule}")
    try:
        assert_refused(store.playbook("site.yml", model_release_ref=str(ref)), address)
    finally:
        store.shell(f"iptables -D {rule}")


@pytest.mark.usefixtures("unharmed")
def test_disk_smaller_than_asked_for(store: FaultStore) -> None:
    run = store.playbook("site.yml", host_baseline_min_disk_gib=1_000_000)
    assert_refused(run, "1000000 GiB needed", "host_baseline_min_disk_gib")


@pytest.mark.usefixtures("unharmed")
def test_disk_too_small_for_a_release(store: FaultStore, tmp_path: Path) -> None:
    ref = fault_store.publish(tmp_path)
    config = json.loads(store.run("cat", "/etc/ovms-edge/node.json")) | {"state_dir": SMALL_DISK}
    store.shell(f"mkdir -p {SMALL_DISK} && mount -t tmpfs -o size=256k tmpfs {SMALL_DISK}")
    try:
        store.shell(f"echo '{json.dumps(config)}' > /root/small.json")
        document = store.ask("stage", str(ref), "--node-config /root/small.json")
        assert not document["ok"]
        assert SMALL_DISK in document["reason"]
        assert "free" in document["reason"] + document["remedy"]
        assert store.shell(f"find {SMALL_DISK} -type f -size +0 -name '*.bin'") == ""
    finally:
        store.shell(f"umount {SMALL_DISK}; rmdir {SMALL_DISK}; rm -f /root/small.json")


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(("variables", "said"), [
    ({}, "host_baseline_min_memory_gib"),
    ({"host_baseline_min_memory_gib": 1}, "GiB"),
])  # fmt: skip
def test_memory_too_small(store: FaultStore, variables: dict[str, Any], said: str) -> None:
    fault_store.lab("fault", store.name, "memory", "3")
    try:
        assert_refused(store.playbook("site.yml", **variables), said)
    finally:
        fault_store.lab("fault", store.name, "memory", str(MEMORY_GIB))


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(("variables", "said"), [
    ({"ovms_server_graph": {"max_num_sequences": 1}}, "max_num_sequences"),
    ({"ovms_server_graph": {"block_size": 32}}, "block_size"),
    ({"ovms_server_graph": {"max_num_seqs": "many"}}, "max_num_seqs"),
    ({"ovms_server_cache_size": 64}, "cache"),
    ({"ovms_server_cache_size": "4GB"}, "ovms_server_cache_size is 4GB"),
    ({"ovms_server_cash_size": 4}, "ovms_server_cash_size is not an input"),
    ({"ovms_server_servable": ""}, "ovms_server_servable"),
])  # fmt: skip
def test_inventory_that_ovms_could_not_serve(store: FaultStore, variables: dict[str, Any], said: str) -> None:
    assert_refused(store.playbook("site.yml", **variables), said)


@pytest.mark.usefixtures("unharmed")
def test_model_with_a_truncated_bin_becomes_no_release(store: FaultStore, tmp_path: Path) -> None:
    model = fault_store.model_copy(tmp_path)
    weights = model / "openvino_language_model.bin"
    weights.write_bytes(weights.read_bytes()[:-1])
    command = [
        "release",
        "build",
        "--model",
        model,
        "--release",
        "fault-tests@1.0.0",
        "--output",
        tmp_path / "out",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "ovms_edge.cli", *command],
        env={"PYTHONPATH": str(fault_store.ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "openvino_language_model.bin" in done.stderr
    assert "remedy" in done.stderr
    assert not list((tmp_path / "out").rglob("manifest.json"))
