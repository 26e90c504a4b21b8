"""What ``doctor.yml`` shows of the fleet."""

from __future__ import annotations

from typing import Any

from ansible_collections.ovms.edge.plugins.plugin_utils._doctor_table import doctor_table, entry_of, summary

FINDING = {
    "id": "gateway.port",
    "severity": "error",
    "found": "port 8002 is held by python3, pid 9",
    "expected": "free for the gateway",
    "fix": "systemctl stop menu.service",
}


def answer(*findings: dict[str, str]) -> dict[str, Any]:
    errors = [finding for finding in findings if finding["severity"] == "error"]
    return {"changed": False, "doctor": {"ok": not errors, "findings": list(findings), "skipped": []}}


def test_each_finding_has_its_store_and_its_fix() -> None:
    lines = doctor_table([entry_of("store-1", answer()), entry_of("store-002", answer(FINDING))])
    assert lines[0].split() == ["store", "severity", "check", "found"]
    assert lines[2].split(maxsplit=3) == ["store-002", "error", "gateway.port", FINDING["found"]]
    assert lines[3].strip() == "fix: systemctl stop menu.service"
    assert len(lines) == 4


def test_a_fleet_that_is_well_needs_no_table() -> None:
    entries = [entry_of("store-1", answer())]
    assert doctor_table(entries) == []
    assert summary(entries) == "1 of 1 stores have no error; 0 errors, 0 warnings"


def test_a_warning_leaves_a_store_well() -> None:
    entries = [entry_of("store-1", answer({**FINDING, "severity": "warning"}))]
    assert summary(entries) == "1 of 1 stores have no error; 0 errors, 1 warnings"


def test_a_store_that_could_not_be_asked_is_not_well() -> None:
    entries = [
        entry_of("store-1", {"unreachable": True, "msg": "Task failed: Connection refused"}),
        entry_of("store-2", {"failed": True, "msg": "the host has no python3"}),
        entry_of("store-3", None),
    ]
    text = "\n".join(doctor_table(entries))
    assert "Connection refused" in text
    assert "fix: check its link" in text
    assert "the host has no python3" in text
    assert summary(entries) == "0 of 3 stores have no error; 0 errors, 0 warnings, 3 not asked"
