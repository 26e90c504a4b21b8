"""B: what molecule/upgrade/change.yml says, in every role."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

from tests.testinfra.node import ask, assert_healthy


@pytest.mark.parametrize(("file", "text"), [
    ("/etc/systemd/journald.conf.d/ovms-edge.conf", "SystemMaxUse=200M\n"),
    ("/etc/ovms-edge/gateway/haproxy.cfg", ":8012\n"),
    ("/etc/docker/daemon.json", '"max-size": "20m"'),
    ("/etc/ovms-edge/node.json", '"releases_kept": 3'),
])  # fmt: skip
def test_file_has_it(host: Host, file: str, text: str) -> None:
    assert text in host.file(file).content_string


def test_other_release_serves_and_the_first_is_kept(host: Host) -> None:
    status = ask(host, "status")
    assert "@1.1.0-" in status["active"]["release"]
    assert "@1.0.0-" in status["previous"]["release"]


def test_server_has_the_new_settings(host: Host) -> None:
    slot = ask(host, "status")["active"]["slot"]
    (container,) = json.loads(host.check_output(f"docker inspect ovms-vlm-{slot}"))
    command = container["Config"]["Cmd"]
    assert command[command.index("--log_level") + 1] == "DEBUG"
    assert container["HostConfig"]["LogConfig"]["Config"]["max-size"] == "20m"
    (models,) = (mount["Source"] for mount in container["Mounts"] if mount["Destination"] == "/models")
    assert "max_num_seqs: 8" in host.check_output(f"cat {models}/*/*/graph.pbtxt")


def test_gateway_listens_there_and_no_more_where_it_was(host: Host) -> None:
    assert host.socket("tcp://0.0.0.0:8012").is_listening
    assert not host.socket("tcp://0.0.0.0:8002").is_listening


def test_store_is_healthy(host: Host) -> None:
    assert_healthy(host)
