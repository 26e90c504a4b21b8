"""Playbooks as an operator types them: nothing to do twice, nothing done by --check, the fleet's report."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import fault_store
from tests.e2e.fault_store import LAB, ROOT, FaultStore, Run

pytestmark = pytest.mark.lab

INVENTORY = ROOT / "inventory/lab"
BARE_STORE = "check-diff"
RECAP = re.compile(
    r"^(?P<store>\S+)\s+: ok=\d+\s+changed=(?P<changed>\d+)\s+unreachable=(?P<unreachable>\d+)"
    r"\s+failed=(?P<failed>\d+)",
    re.MULTILINE,
)


def playbook(*words: str | Path) -> Run:
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "1000"},
        check=False,
    )
    return Run(done.returncode, done.stdout)


def changed(run: Run) -> dict[str, int]:
    """Return the recap's count of changes by store; a store that failed or was not reached fails the test."""
    found = {}
    for line in RECAP.finditer(run.output):
        assert (line["failed"], line["unreachable"]) == ("0", "0"), run.output
        found[line["store"]] = int(line["changed"])
    return found


def forms_of_the_password() -> list[str]:
    """As it is, and what base64 makes of it in a login: a form for each offset in a group of three."""
    password = (LAB / "depot/password").read_text().strip()
    forms = [password]
    for offset in range(3):
        encoded = base64.b64encode(b"." * offset + password.encode()).decode()
        forms.append(encoded[(8 * offset + 5) // 6 : 8 * (offset + len(password)) // 6])
    return forms


def assert_without_the_password(run: Run) -> None:
    forms = forms_of_the_password()
    assert any(form in (LAB / "depot/credentials.json").read_text() for form in forms)
    assert not [form for form in forms if form in run.output]


@pytest.fixture(scope="module")
def stores() -> list[FaultStore]:
    command = [
        Path(sys.executable).with_name("ansible-inventory"),
        *("-i", INVENTORY, "--list", "--limit", "stores"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    names = json.loads(done.stdout)["stores"]["hosts"]
    return [FaultStore(name, INVENTORY) for name in names]


@pytest.fixture
def bare_store(tmp_path: Path) -> Iterator[FaultStore]:
    store = FaultStore(BARE_STORE, tmp_path / "inventory")
    fault_store.lab("add", store.name, "--inventory", str(store.inventory))
    try:
        yield store
    finally:
        fault_store.lab("remove", store.name)


def test_site_again_changes_nothing(stores: list[FaultStore]) -> None:
    run = playbook("site.yml", "-l", "stores")
    assert run.status == 0, run.output
    assert changed(run) == {store.name: 0 for store in stores}


def test_check_of_a_converged_fleet_has_nothing_to_say(stores: list[FaultStore]) -> None:
    run = playbook("site.yml", "-l", "stores", "--check", "--diff", "-vvv")
    assert run.status == 0, run.output
    assert changed(run) == {store.name: 0 for store in stores}
    assert_without_the_password(run)


def test_check_of_a_bare_store_tells_the_changes_and_makes_none(bare_store: FaultStore) -> None:
    run = playbook("site.yml", "--check", "--diff", "-vvv", "-i", bare_store.inventory)
    assert run.status == 0, run.output
    assert changed(run)[bare_store.name] > 0
    assert "+++ after" in run.output
    assert_without_the_password(run)
    assert bare_store.shell("ls -d /etc/ovms-edge /var/lib/ovms-edge 2>/dev/null || true") == ""
    assert bare_store.shell("command -v dockerd || true") == ""


def test_verified_fleet_is_reported_store_by_store(stores: list[FaultStore], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    run = playbook("playbooks/verify_fleet.yml", "-l", "stores", "-e", f"verify_report_file={report}")
    assert run.status == 0, run.output
    document = json.loads(report.read_text())
    assert document["ok"] is True
    assert {entry["store"]: entry["ok"] for entry in document["stores"]} == {
        store.name: True for store in stores
    }
    assert len(document["stores"]) == len(stores)


def test_stores_that_serve_what_is_not_planned_are_named_and_no_failure(
    stores: list[FaultStore], tmp_path: Path
) -> None:
    variables = {"ovms_server_release": "other@1.0.0", "verify_report_file": str(tmp_path / "report.json")}
    run = playbook("playbooks/verify_fleet.yml", "-l", "stores", "-e", json.dumps(variables))
    assert run.status == 0, run.output
    for store in stores:
        assert re.search(rf"^{store.name}: serves \S+, planned is other@1.0.0; ", run.output, re.MULTILINE)


def test_store_that_does_not_serve_is_named_and_brought_back(
    stores: list[FaultStore], tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    stopped = stores[-1]
    stopped.shell(f"systemctl stop ovms-edge-tend.timer && docker stop {stopped.server()}")
    try:
        run = playbook("playbooks/verify_fleet.yml", "-l", "stores", "-e", f"verify_report_file={report}")
    finally:
        repair = playbook("site.yml", "-l", stopped.name)
    assert run.status != 0, run.output
    assert "Traceback" not in run.output
    assert re.search(rf"fatal: \[{stopped.name}\]", run.output)
    document = json.loads(report.read_text())
    assert document["ok"] is False
    assert {entry["store"]: entry["ok"] for entry in document["stores"]} == {
        store.name: store != stopped for store in stores
    }
    assert repair.status == 0, repair.output
    assert changed(repair)[stopped.name] > 0
    assert stopped.ask("verify")["ok"]
