"""Each value of molecule/full/vars/settings.yml, where it takes effect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests.testinfra.node import assert_healthy

Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(host: Host) -> Found:
    done = host.run("python3 -c %s", Path(__file__).with_name("collect.py").read_text())
    assert done.succeeded, done.stderr
    collected: Found = json.loads(done.stdout.strip().splitlines()[-1])
    return collected


@pytest.mark.parametrize(("file", "text"), [
    ("/etc/systemd/journald.conf.d/ovms-edge.conf", "SystemMaxUse=150M\n"),
    ("/etc/systemd/journald.conf.d/ovms-edge.conf", "RuntimeMaxUse=50M\n"),
    ("/etc/systemd/journald.conf.d/ovms-edge.conf", "RateLimitBurst=3000\n"),
    ("/etc/systemd/timesyncd.conf.d/ovms-edge.conf", "ntp.example"),
    ("/etc/systemd/system.conf.d/ovms-edge.conf", "RuntimeWatchdogSec=30"),
    ("/etc/ansible/facts.d/ovms_edge.fact", '"region": "north"'),
    ("/etc/docker/daemon.json", '"max-size": "5m"'),
    ("/etc/docker/daemon.json", '"max-file": "2"'),
    ("/etc/ovms-edge/revoked_signers", "ssh-ed25519"),
])  # fmt: skip
def test_file_has_it(found: Found, file: str, text: str) -> None:
    assert text in found["files"][file]


def test_nothing_is_protected_from_the_out_of_memory_killer(found: Found) -> None:
    assert found["protected"] == []


@pytest.mark.parametrize("port", [22, 8443, 9405, 9100])
def test_firewall_lets_in_the_lab_alone_at(found: Found, port: int) -> None:
    (rule,) = (line for line in found["rules"] if f"dport {port} " in line)
    assert "ip saddr" in rule
    assert "accept" in rule


@pytest.mark.parametrize("line", ["passwordauthentication no", "permitrootlogin no"])
def test_sshd_says(found: Found, line: str) -> None:
    assert line in found["sshd"]


@pytest.mark.parametrize(("key", "value"), [
    ("DockerRootDir", "/var/lib/docker/engine"),
    ("HttpsProxy", "http://proxy.example:3128"),
])  # fmt: skip
def test_engine_has(found: Found, key: str, value: str) -> None:
    assert found["engine"][key] == value


def test_engine_asks_the_mirror_first(found: Found) -> None:
    assert found["engine"]["RegistryConfig"]["Mirrors"] == ["https://mirror.example/"]


def test_packages_of_the_engine_are_not_held(found: Found) -> None:
    assert found["held"] == []


def test_node_tool_has_its_settings(found: Found) -> None:
    settings = json.loads(found["files"]["/etc/ovms-edge/node.json"])
    assert settings["state_dir"] == "/srv/ovms-edge"
    assert settings["releases_kept"] == 3
    assert len(settings["depot"]["mirrors"]) == 1
    transfer = settings["transfer"]
    assert (transfer["connections"], transfer["give_up_seconds"]) == (2, 600)
    assert (transfer["rate"], transfer["schedule"][0]["rate"]) == ("900Mbit", "800Mbit")


def test_metrics_are_where_they_are_wanted(found: Found) -> None:
    assert "ovms_edge_" in found["metrics"]


def test_gateway_wants_a_key_and_takes_each(found: Found) -> None:
    assert (found["without_key"], found["with_keys"]) == (401, [200, 200])


def test_gateway_refuses_what_is_larger_than_its_limit(found: Found) -> None:
    assert found["too_large"] == 413


def test_gateway_has_metrics_for_others(found: Found) -> None:
    assert "haproxy_process" in found["gateway_metrics"]


def test_applications_find_it_under_their_name(found: Found) -> None:
    assert "vision" in found["alias"]["NetworkSettings"]["Networks"]["applications"]["Aliases"]


def test_server_is_confined_and_started_as_asked(found: Found) -> None:
    server = found["server"]
    assert server["HostConfig"]["Memory"] == 12 << 30
    (network,) = server["NetworkSettings"]["Networks"].values()
    assert network["IPAddress"].startswith("172.31.252.")
    command = server["Config"]["Cmd"]
    assert command[command.index("--log_level") + 1] == "DEBUG"


@pytest.mark.parametrize("line", [
    'device: "CPU"', "cache_size: 1", "max_num_batched_tokens: 512", "max_num_seqs: 4",
    "dynamic_split_fuse: false", "enable_prefix_caching: false", "best_of_limit: 2", "max_tokens_limit: 64",
])  # fmt: skip
def test_graph_has(found: Found, line: str) -> None:
    assert line in found["graph"]


def test_it_serves_under_its_name_in_the_tier_that_was_asked_for(found: Found) -> None:
    active = found["status"]["active"]
    assert (active["servable"], active["tier"]) == ("orders", "B")


def test_store_is_healthy(host: Host) -> None:
    assert_healthy(host)
