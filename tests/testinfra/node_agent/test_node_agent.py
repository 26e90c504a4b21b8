"""The node tool as role ``node_agent`` leaves it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testinfra.paths import FILES, Wanted, assert_owner_and_mode

pytestmark = pytest.mark.lab

# Used where --hosts names no others.
testinfra_hosts = ["ansible://stores?force_ansible=True&sudo=True"]

Evidence = dict[str, Any]


@pytest.mark.parametrize(("path", "wanted"), FILES["node_agent"].items())
def test_file_has_its_owner_and_mode(evidence: Evidence, path: str, wanted: Wanted) -> None:
    assert_owner_and_mode(evidence, path, wanted)


def test_it_runs_by_itself(evidence: Evidence) -> None:
    assert evidence["units"]["ovms-edge-tend.timer"] == "active"


def test_it_answers(evidence: Evidence) -> None:
    assert evidence["facts"]["ok"], evidence["facts"]
