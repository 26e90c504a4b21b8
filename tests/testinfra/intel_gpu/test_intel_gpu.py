"""A host as role ``intel_gpu`` leaves it."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.lab

# Used where --hosts names no others.
testinfra_hosts = ["ansible://stores?force_ansible=True&sudo=True"]

Evidence = dict[str, Any]


def test_group_of_the_render_node_has_a_name(evidence: Evidence) -> None:
    assert evidence["render_nodes"]
    for path, gid, group in evidence["render_nodes"]:
        assert group, f"{path} is of group {gid}, which /etc/group does not name"
