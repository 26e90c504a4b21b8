"""The checker says of a config.json what the server does with it (tests/contract/test_config.py asks it)."""

from __future__ import annotations

import json

import pytest

from ovms_edge.config_file.check import check_config
from ovms_edge.finding import Finding
from tests.contract.configs import STARTS, WRONG

VERSION = "2025.4.1"


def errors(config: object) -> list[Finding]:
    text = config if isinstance(config, str) else json.dumps(config)
    return [finding for finding in check_config(text, VERSION) if finding.severity == "error"]


@pytest.mark.parametrize("name", WRONG)
def test_what_ends_the_server_is_rejected_with_its_status_code(name: str) -> None:
    found = errors(WRONG[name].config)

    assert found
    assert found[0].code == WRONG[name].code


@pytest.mark.parametrize("name", STARTS)
def test_what_the_server_starts_with_is_accepted(name: str) -> None:
    assert errors(STARTS[name]) == []
