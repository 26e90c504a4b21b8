"""A store from outside: what was there before is as it was, and nothing is given away."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testinfra.paths import FILES, Wanted, assert_owner_and_mode

pytestmark = pytest.mark.lab

# Used where --hosts names no others.
testinfra_hosts = ["ansible://stores?force_ansible=True&sudo=True"]

Evidence = dict[str, Any]


@pytest.mark.parametrize(("path", "wanted"), FILES["store"].items())
def test_file_has_its_owner_and_mode(evidence: Evidence, path: str, wanted: Wanted) -> None:
    assert_owner_and_mode(evidence, path, wanted)


def test_registry_password_is_in_no_process_list_log_or_setting(evidence: Evidence) -> None:
    assert evidence["passwords"] > 0, "no credentials on this host, so nothing was looked for"
    assert evidence["secret_in"] == []
