"""A: what the lab's inventory says."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.testinfra.node import ask


@pytest.mark.parametrize(("file", "text"), [
    ("/etc/systemd/journald.conf.d/ovms-edge.conf", "SystemMaxUse=1G\n"),
    ("/etc/ovms-edge/gateway/haproxy.cfg", ":8002\n"),
    ("/etc/docker/daemon.json", '"max-size": "10m"'),
])  # fmt: skip
def test_file_has_it(host: Host, file: str, text: str) -> None:
    assert text in host.file(file).content_string


def test_first_release_serves(host: Host) -> None:
    status = ask(host, "status")
    assert "@1.0.0-" in status["active"]["release"]
    assert status["previous"] is None
