"""A staged release as role ``model_release`` leaves it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testinfra.paths import FILES, Wanted, assert_owner_and_mode

pytestmark = pytest.mark.lab

# Used where --hosts names no others.
testinfra_hosts = ["ansible://stores?force_ansible=True&sudo=True"]

Evidence = dict[str, Any]


@pytest.mark.parametrize(("path", "wanted"), FILES["model_release"].items())
def test_file_has_its_owner_and_mode(evidence: Evidence, path: str, wanted: Wanted) -> None:
    assert_owner_and_mode(evidence, path, wanted)


def test_a_release_is_there(evidence: Evidence) -> None:
    assert all(release["bytes"] for release in evidence["facts"]["releases"])
    assert evidence["facts"]["releases"]


def test_releases_are_read_only_and_roots(evidence: Evidence) -> None:
    assert evidence["release_modes"] == ["directory 0 0555", "file 0 0444"]
