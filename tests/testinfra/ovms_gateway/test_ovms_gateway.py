"""The gateway as role ``ovms_gateway`` leaves it, with a server behind it or none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testinfra.paths import FILES, Wanted, assert_owner_and_mode

pytestmark = pytest.mark.lab

# Used where --hosts names no others.
testinfra_hosts = ["ansible://stores?force_ansible=True&sudo=True"]

Evidence = dict[str, Any]


@pytest.mark.parametrize(("path", "wanted"), FILES["ovms_gateway"].items())
def test_file_has_its_owner_and_mode(evidence: Evidence, path: str, wanted: Wanted) -> None:
    assert_owner_and_mode(evidence, path, wanted)


def test_it_runs(evidence: Evidence) -> None:
    assert evidence["units"]["ovms-edge-gateway.service"] == "active"


def test_it_says_whether_requests_are_served(evidence: Evidence) -> None:
    served = bool(evidence.get("active"))
    assert (evidence["gateway_health"]["status"] == 200) == served, evidence["gateway_health"]
