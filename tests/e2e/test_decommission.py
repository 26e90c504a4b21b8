"""One store, bare at first: all of host_baseline on, proven from outside, and everything away again."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.ovms.edge.plugins.plugin_utils import _access_program
from ansible_collections.ovms.edge.plugins.plugin_utils._access_plan import SSHD_FILE, firewall_text
from ansible_collections.ovms.edge.plugins.plugin_utils._host_program import Call, program_of
from tests.e2e import fault_store
from tests.e2e.fault_store import LAB, FaultStore, Run

pytestmark = pytest.mark.lab

NAME = "decommission"
SSH, GATEWAY, CLOSED = 22, 8002, 9999
TRIAL_SECONDS = 4
OPTIONS: dict[str, Any] = {
    "host_baseline_security_upgrades": True,
    "host_baseline_time_sync": "timesyncd",
    "host_baseline_time_servers": ["ntp.example"],
    "host_baseline_journal_max_use": "123M",
    "host_baseline_watchdog_seconds": 30,
    "host_baseline_firewall": True,
    "host_baseline_sshd_hardening": True,
    "host_baseline_sshd_root_login": "no",
    "host_baseline_confirm_seconds": 30,
}


@dataclass(frozen=True)
class Converged:
    store: FaultStore
    address: str
    before: dict[str, Any]
    run: Run


def picture(store: FaultStore) -> dict[str, Any]:
    text = Path(__file__).with_name("host_picture.py").read_text()
    found: dict[str, Any] = json.loads(program(store, text))
    return found


def program(store: FaultStore, text: str) -> str:
    encoded = base64.b64encode(text.encode()).decode()
    return store.shell(f"echo {encoded} | base64 -d | python3 -")


def changed(run: Run) -> int:
    assert run.status == 0, run.output
    (count,) = re.findall(rf"^{NAME} .*changed=(\d+)", run.output, re.MULTILINE)
    return int(count)


def connects(address: str, port: int) -> bool:
    """Whether somebody outside gets a TCP connection."""
    try:
        socket.create_connection((address, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def until(holds: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return held


def ssh_login(address: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["ssh", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={LAB}/ssh/known_hosts"]
    command += ["-o", "IdentitiesOnly=yes", "-i", str(LAB / "ssh/id_ed25519"), *options]
    return subprocess.run(
        [*command, f"ansible@{address}", "true"], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def converged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converged]:
    store = FaultStore(NAME, tmp_path_factory.mktemp("decommission") / "inventory")
    fault_store.lab("add", NAME, "--debian", "13", "--inventory", str(store.inventory))
    try:
        hosts = yaml.safe_load((store.inventory / "hosts.yml").read_text())
        address = hosts["stores"]["hosts"][NAME]["ansible_host"]
        # Passwords and root are let in before, and somebody listens where nobody will be let in.
        store.shell(
            "sed -i -E 's/^(PasswordAuthentication|PermitRootLogin) no/\\1 yes/'"
            " /etc/ssh/sshd_config.d/*.conf"
            " && systemctl reload ssh"
            f" && systemd-run --quiet --unit=listener python3 -m http.server {CLOSED} --directory /run/lock"
        )
        assert "password" in ssh_login(address, "-o", "PubkeyAuthentication=no").stderr
        assert until(lambda: connects(address, CLOSED), 10.0)
        before = picture(store)
        yield Converged(store, address, before, store.playbook("site.yml", **OPTIONS))
    finally:
        fault_store.lab("remove", NAME)


def test_a_bare_store_serves_with_everything_on(converged: Converged) -> None:
    assert changed(converged.run) > 0
    assert converged.store.ask("verify")["ok"]


def test_a_second_run_changes_nothing(converged: Converged) -> None:
    assert changed(converged.store.playbook("site.yml", **OPTIONS)) == 0


def test_the_firewall_lets_in_what_is_in_use_and_nothing_else(converged: Converged) -> None:
    let_in = {port: connects(converged.address, port) for port in (SSH, GATEWAY, CLOSED)}
    assert let_in == {SSH: True, GATEWAY: True, CLOSED: False}
    here = f"import socket; socket.create_connection(('127.0.0.1', {CLOSED}), timeout=1)"
    converged.store.run("python3", "-c", here)


def test_sshd_offers_keys_only(converged: Converged) -> None:
    refused = ssh_login(converged.address, "-o", "PubkeyAuthentication=no")
    assert refused.returncode
    assert "Permission denied (publickey)" in refused.stderr
    assert ssh_login(converged.address).returncode == 0
    settings = converged.store.shell("/usr/sbin/sshd -T").splitlines()
    assert {"passwordauthentication no", "permitrootlogin no"} <= set(settings)


def test_firewall_and_sshd_go_back_if_nobody_confirms(converged: Converged) -> None:
    text = firewall_text([("tcp", SSH, [])])
    request = {
        "rules": text,
        "sshd": "PasswordAuthentication yes\n",
        "sshd_file": SSHD_FILE,
        "seconds": TRIAL_SECONDS,
    }
    said = program(converged.store, program_of([Call(_access_program, "trial", request)]))
    assert json.loads(said)["answers"] == [{"ok": True}]
    assert not connects(converged.address, GATEWAY)
    assert "passwordauthentication yes" in converged.store.shell("/usr/sbin/sshd -T")
    assert until(lambda: connects(converged.address, GATEWAY), 4 * TRIAL_SECONDS)
    assert "passwordauthentication no" in converged.store.shell("/usr/sbin/sshd -T")
    said = program(converged.store, program_of([Call(_access_program, "confirm", {})]))
    assert not json.loads(said)["answers"][0]["ok"]


def test_a_firewall_that_would_lock_the_operator_out_is_refused(converged: Converged) -> None:
    options = {**OPTIONS, "host_baseline_firewall_ssh_from": ["192.0.2.0/24"]}
    run = converged.store.playbook("playbooks/prepare_hosts.yml", **options)
    assert run.status
    assert "host_baseline_firewall_ssh_from is 192.0.2.0/24" in run.output
    assert ssh_login(converged.address).returncode == 0


@pytest.mark.parametrize("unit", ["ssh", "ovms-edge-gateway", "ovms-edge-tend"])
def test_a_unit_is_protected_when_memory_is_out(converged: Converged, unit: str) -> None:
    # A store of the lab may not lower it in /proc: CAP_SYS_RESOURCE is not there.
    shown = converged.store.run("systemctl", "show", "--property=OOMScoreAdjust", unit)
    assert shown == "OOMScoreAdjust=-500\n"


def test_the_journal_keeps_to_its_limit(converged: Converged) -> None:
    said = converged.store.shell("journalctl --no-pager --output=cat --unit=systemd-journald")
    assert re.search(r"System Journal .* max 123M", said), said


def test_updates_leave_kernel_gpu_and_docker_alone(converged: Converged) -> None:
    settings = converged.store.shell("apt-config dump Unattended-Upgrade").splitlines()
    origins = [line for line in settings if line.startswith(("Unattended-Upgrade::Origins-Pattern::",))]
    assert [re.findall(r'"(.*)"', line)[0] for line in origins] == [
        "origin=Debian,codename=${distro_codename}-security,label=Debian-Security"
    ]
    for name in ("linux-", "intel-", "docker", "containerd"):
        assert f'Unattended-Upgrade::Package-Blacklist:: "^{name}";' in settings


def test_the_host_says_what_it_is(converged: Converged) -> None:
    facts = json.loads(converged.store.run("cat", "/etc/ansible/facts.d/ovms_edge.fact"))
    assert facts["gateway"]["port"] == GATEWAY


def test_decommissioning_has_to_be_meant(converged: Converged) -> None:
    run = converged.store.playbook("playbooks/decommission.yml", decommission_confirm="another-store")
    assert run.status
    assert f"decommission_confirm={NAME}" in run.output
    assert converged.store.ask("verify")["ok"]


# All of it at once, apt and dpkg too, with one package removed and those that came with it still there.
KILLED_AMID_APT = """
setsid ovms-node decommission >/run/lock/said 2>&1 &
deadline=$(($(date +%s) + 120))
while dpkg-query --show --showformat '${db:Status-Status}' docker.io | grep -q -e ^installed -e ^half; do
  [ "$(date +%s)" -lt "$deadline" ] && kill -0 $! || { cat /run/lock/said; exit 1; }
  sleep 0.02
done
kill -9 -$!
dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' docker.io containerd runc
rm /run/lock/said
"""


def test_a_decommissioned_store_is_as_it_was(converged: Converged) -> None:
    dry = converged.store.playbook("playbooks/decommission.yml", "--check")
    assert changed(dry) == 1
    assert converged.store.ask("verify")["ok"]
    packages = converged.store.shell(KILLED_AMID_APT)
    assert "runc installed\n" in packages, packages
    run = converged.store.playbook("playbooks/decommission.yml", decommission_confirm=NAME)
    assert changed(run) == 1
    after = picture(converged.store)
    left = {
        name: entry for name, entry in after["files"].items() if converged.before["files"].get(name) != entry
    }
    assert left == {}
    assert set(converged.before["files"]) == set(after["files"])
    for what, found in converged.before.items():
        assert after[what] == found, what
    assert connects(converged.address, CLOSED)


def test_a_second_decommissioning_finds_nothing(converged: Converged) -> None:
    run = converged.store.playbook("playbooks/decommission.yml", decommission_confirm=NAME)
    assert changed(run) == 0
    assert "there is nothing of ours on this host" in run.output
