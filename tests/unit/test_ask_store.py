"""Against Ansible itself: what it makes of an inventory is what the tunnel gets."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ovms_edge.ask.store import Store, find_store
from ovms_edge.ask.tunnel import tunnel
from ovms_edge.errors import EdgeError

INVENTORY = """
stores:
  vars:
    keys: "{{ inventory_dir }}/keys"
    ansible_user: edge
    ansible_ssh_private_key_file: "{{ keys }}/id_ed25519"
    ansible_ssh_common_args: -o IdentitiesOnly=yes -o 'UserKnownHostsFile="{{ keys }}/known hosts"'
  hosts:
    one: {ansible_host: 192.0.2.1}
    two: {ansible_port: 2222}
    three: {ansible_ssh_extra_args: -4}
    local: {ansible_connection: local}
    unset: {ansible_host: "{{ no_such_variable }}"}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    file = tmp_path / "hosts.yml"
    file.write_text(INVENTORY)
    return file


@pytest.mark.parametrize(
    ("name", "ssh_port", "extra", "address"),
    [
        ("one", "22", [], "192.0.2.1"),
        ("two", "2222", [], "two"),
        ("three", "22", ["-4"], "three"),
    ],
)
def test_the_way_to_a_store_is_the_inventorys(
    inventory: Path, name: str, ssh_port: str, extra: list[str], address: str
) -> None:
    keys = inventory.parent / "keys"
    own = ["-o", "IdentitiesOnly=yes", "-o", f'UserKnownHostsFile="{keys}/known hosts"']
    ssh = ["-p", ssh_port, *own, *extra, "-i", f"{keys}/id_ed25519", "-l", "edge", address]
    assert find_store(name, inventory) == Store(name, tuple(ssh))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "No hosts matched"),
        ("stores", "stores names 5 hosts"),
        ("local", "reached by local"),
        ("unset", "no_such_variable"),
    ],
)
def test_what_is_no_store_is_refused(inventory: Path, name: str, said: str) -> None:
    with pytest.raises(EdgeError, match=said):
        find_store(name, inventory)


def test_a_tunnel_that_does_not_open_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(
        '#!/bin/sh\necho "$*" > "$0.called"\necho \'Host key verification failed.\' >&2\nexit 255\n'
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    store = Store("one", ("-p", "22", "192.0.2.1"))
    with pytest.raises(EdgeError, match="no SSH tunnel to one: Host key verification failed"), tunnel(store):
        pytest.fail("the tunnel opened")
    called = (tmp_path / "ssh.called").read_text()
    assert ":/run/ovms-edge-gateway/apps/http.sock -o BatchMode=yes" in called
    assert called.endswith("-p 22 192.0.2.1\n")


def test_the_tunnel_ends_with_a_killed_process(tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\necho $$ > "$0.pid"\nexec sleep 60\n')
    ssh.chmod(0o755)
    code = (
        "from ovms_edge.ask.tunnel import tunnel; from ovms_edge.ask.store import Store\n"
        "with tunnel(Store('one', ('one',))): pass"
    )
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    pid = tmp_path / "ssh.pid"
    deadline = time.monotonic() + 10
    while not (pid.exists() and pid.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    process.wait()
    stat = Path("/proc") / pid.read_text().strip() / "stat"
    while stat.exists() and stat.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.02)
