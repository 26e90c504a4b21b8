"""What host_baseline wants of a host, and when it refuses to touch firewall and sshd."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils import _access_program, _baseline_program
from ansible_collections.ovms.edge.plugins.plugin_utils._access_plan import (
    FIREWALL_FILE,
    FIREWALL_UNIT_FILE,
    SSHD_FILE,
    access_entries,
    firewall_text,
    left_out,
    obstacles,
    openings,
)
from ansible_collections.ovms.edge.plugins.plugin_utils._baseline_plan import (
    CHRONY_FILE,
    JOURNALD_FILE,
    MANAGER_FILE,
    TIMESYNCD_FILE,
    UPGRADES_FILE,
    Baseline,
    baseline,
    oom_file,
)
from ansible_collections.ovms.edge.plugins.plugin_utils._role_inputs import inputs_of

CONNECTION = {
    "client": "10.0.0.7",
    "client_port": 5,
    "server_port": 22,
    "user": "ansible",
    "method": "publickey",
}
FOUND: dict[str, Any] = {"connection": CONNECTION, "authorized_key": True, "firewalls": [], "listening": [22]}


def inputs(**given: Any) -> dict[str, Any]:
    known = {f"host_baseline_{name}": value for name, value in given.items()}
    typed = inputs_of("host_baseline", known, lambda value: value)
    return {name.removeprefix("host_baseline_"): value for name, value in typed.items()}


def gateway(**given: Any) -> dict[str, Any]:
    return inputs_of(
        "ovms_gateway", {f"ovms_gateway_{name}": value for name, value in given.items()}, lambda v: v
    )


def plan(os_id: str = "debian", **given: Any) -> Baseline:
    return baseline(inputs(**given), os_id, {"role": "store"})


def text(wanted: Baseline, path: str) -> str | None:
    (entry,) = [entry for entry in wanted.entries if entry["path"] == path]
    content: str | None = entry.get("content")
    assert entry.get("absent", False) == (content is None)
    return content


def refusals(found: dict[str, Any], with_password: bool = False, **given: Any) -> list[str]:
    return obstacles(inputs(**given), {**FOUND, **found}, with_password)


def connected(**more: Any) -> dict[str, Any]:
    return {"connection": {**CONNECTION, **more}}


def test_a_default_host_keeps_its_firewall_its_sshd_its_clock_and_its_watchdog() -> None:
    wanted = plan()
    for path in (FIREWALL_FILE, FIREWALL_UNIT_FILE, SSHD_FILE, MANAGER_FILE, TIMESYNCD_FILE, CHRONY_FILE):
        assert text(wanted, path) is None
    assert (wanted.units, wanted.packages) == ([], ["unattended-upgrades"])
    assert access_entries(inputs(), gateway()) == []


@pytest.mark.parametrize(("sync", "path", "line"), [
    ("timesyncd", TIMESYNCD_FILE, "NTP=a b\n"),
    ("chrony", CHRONY_FILE, "server a iburst\nserver b iburst\n"),
])  # fmt: skip
def test_the_clock_is_kept_by_one_of_two(sync: str, path: str, line: str) -> None:
    wanted = plan(time_sync=sync, time_servers=["a", "b"])
    assert line in (text(wanted, path) or "")
    assert [text(wanted, other) for other in {TIMESYNCD_FILE, CHRONY_FILE} - {path}] == [None]
    assert wanted.units
    assert wanted.packages[0] in ("systemd-timesyncd", "chrony")


def test_a_clock_with_its_own_servers_gets_no_file() -> None:
    assert text(plan(time_sync="timesyncd"), TIMESYNCD_FILE) is None


@pytest.mark.parametrize(
    ("os_id", "origin"), [("debian", "label=Debian-Security"), ("ubuntu", "origin=Ubuntu")]
)
def test_updates_are_the_distributions_security_updates(os_id: str, origin: str) -> None:
    written = text(plan(os_id), UPGRADES_FILE) or ""
    (line,) = [line for line in written.splitlines() if "origin=" in line]
    assert origin in line
    assert "-security" in line
    assert written.index("#clear Unattended-Upgrade::Origins-Pattern;") < written.index(line)


@pytest.mark.skipif(shutil.which("apt-config") is None, reason="apt is Debian's")
def test_apt_reads_the_settings_of_updates(tmp_path: Path) -> None:
    path = tmp_path / "52ovms-edge"
    path.write_text(text(plan(), UPGRADES_FILE) or "")
    shown = subprocess.run(
        ["apt-config", "-c", path, "dump"], capture_output=True, text=True, check=True
    ).stdout
    assert 'Unattended-Upgrade::Package-Blacklist:: "^docker";' in shown


@pytest.mark.parametrize(("given", "path"), [
    ({"journal_max_use": ""}, JOURNALD_FILE),
    ({"security_upgrades": False}, UPGRADES_FILE),
    ({"oom_protection": False}, oom_file("ssh.service")),
])  # fmt: skip
def test_what_is_turned_off_is_taken_away(given: dict[str, Any], path: str) -> None:
    assert text(plan(), path) is not None
    assert text(plan(**given), path) is None


def test_everybody_who_is_told_can_be() -> None:
    wanted = plan(watchdog_seconds=30, time_sync="timesyncd", time_servers=["a"])
    assert set(wanted.told.values()) <= set(_baseline_program._TELL)
    assert set(wanted.told) <= {entry["path"] for entry in wanted.entries}


def test_the_firewall_opens_what_listens_beyond_the_host() -> None:
    given = inputs(
        firewall_open=[{"port": 9100, "from": ["10.0.0.0/8"]}], firewall_gateway_from=["10.1.0.0/16"]
    )
    beyond = gateway(bind_address="0.0.0.0", allow_plain=True, metrics_address="10.0.0.1:8405")  # noqa: S104
    assert openings(given, beyond) == [
        ("tcp", 22, []),
        ("tcp", 8002, ["10.1.0.0/16"]),
        ("tcp", 8405, ["10.1.0.0/16"]),
        ("tcp", 9100, ["10.0.0.0/8"]),
    ]
    assert openings(inputs(), gateway()) == [("tcp", 22, [])]


def test_sources_are_told_apart_by_their_family() -> None:
    rules = firewall_text([("tcp", 22, ["10.0.0.1", "fd00::/8"]), ("udp", 123, [])])
    assert "ip saddr { 10.0.0.1/32 } tcp dport 22 accept" in rules
    assert "ip6 saddr { fd00::/8 } tcp dport 22 accept" in rules
    assert "udp dport 123 accept" in rules
    assert "flush ruleset" not in rules


def test_who_listens_and_will_not_be_let_in_is_named() -> None:
    assert left_out([("tcp", 22, []), ("udp", 80, [])], [22, 80, 9100]) == [80, 9100]


@pytest.mark.parametrize(("found", "given", "said"), [
    ({"connection": None}, {"firewall": True}, "not reached by SSH"),
    ({"firewalls": ["ufw"]}, {"firewall": True}, "ufw is the firewall of this host"),
    (connected(server_port=2222), {"firewall": True}, "SSH comes in on port 2222"),
    ({}, {"firewall": True, "firewall_ssh_from": ["10.0.1.0/24"]}, "SSH comes from 10.0.0.7"),
    (connected(method="password"), {"sshd_hardening": True}, "ansible is logged in by password"),
    ({**connected(method=None), "authorized_key": False}, {"sshd_hardening": True}, "no authorized key"),
    (connected(user="root"), {"sshd_hardening": True, "sshd_root_login": "no"}, "root is logged in"),
])  # fmt: skip
def test_what_would_lock_the_operator_out_is_refused(
    found: dict[str, Any], given: dict[str, Any], said: str
) -> None:
    (problem,) = refusals(found, **given)
    assert said in problem
    assert ";" in problem


def test_a_password_of_the_controller_counts_where_the_log_says_nothing() -> None:
    assert "by password" in refusals(connected(method=None), with_password=True, sshd_hardening=True)[0]
    assert refusals({}, with_password=True, sshd_hardening=True) == []


@pytest.mark.parametrize("client", ["10.0.0.7", "::ffff:10.0.0.7"])
def test_who_comes_from_an_allowed_network_is_not_refused(client: str) -> None:
    given = {"firewall": True, "firewall_ssh_from": ["10.0.0.0/24"], "sshd_hardening": True}
    assert refusals(connected(client=client), **given) == []


def test_root_may_stay_where_root_may_log_in_by_key() -> None:
    assert refusals(connected(user="root"), sshd_hardening=True) == []


def test_a_trial_is_taken_back_to_what_was_there() -> None:
    script = _access_program.revert_script(True, SSHD_FILE)
    assert "nft delete table inet ovms_edge" in script
    assert script.index(f"umount {SSHD_FILE}") < script.index("try-reload-or-restart ssh.service")
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


def test_listeners_on_the_loopback_need_no_opening() -> None:
    head = "  sl  local_address rem_address   st\n"
    lines = [
        "0: 0100007F:2387 00000000:0000 0A",
        "1: 00000000:0016 00000000:0000 0A",
        "2: 00000000:0050 0100:01 01",
    ]
    v6 = [
        "0: 00000000000000000000000001000000:0051 0:0 0A",
        "1: 00000000000000000000000000000000:1F42 0:0 0A",
    ]
    assert _access_program.listening([head + "\n".join(lines), head + "\n".join(v6)]) == [22, 8002]
