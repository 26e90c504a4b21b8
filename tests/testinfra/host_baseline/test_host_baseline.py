"""A host as role ``host_baseline`` leaves it."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytestmark = pytest.mark.lab

# Used where --hosts names no others.
testinfra_hosts = ["ansible://stores?force_ansible=True&sudo=True"]

Evidence = dict[str, Any]


def test_journal_is_limited(evidence: Evidence) -> None:
    for option in ("SystemMaxUse", "RuntimeMaxUse", "RateLimitBurst"):
        assert re.search(rf"^{option}=\w", evidence["journald"], re.MULTILINE), evidence["journald"]


def test_host_says_where_its_gateway_is(evidence: Evidence) -> None:
    facts = evidence["host_facts"]
    if facts is not None and "gateway" in evidence:  # host_baseline_facts_file
        assert f":{facts['gateway']['port']}" in evidence["gateway"]["url"]


def test_units_are_protected_when_memory_is_out(evidence: Evidence) -> None:
    assert set(evidence["protection"].values()) <= {"OOMScoreAdjust=-500"}


def test_firewall_that_is_written_is_in_force_and_comes_with_the_host(evidence: Evidence) -> None:
    if evidence["rules"]:  # host_baseline_firewall
        assert "policy drop" in evidence["rules"]
        assert evidence["firewall"] == "enabled"
