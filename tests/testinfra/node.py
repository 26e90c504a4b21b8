"""What ``ovms-node`` says on a host."""

from __future__ import annotations

import json
from typing import Any

from testinfra.host import Host


def ask(host: Host, command: str) -> dict[str, Any]:
    """Return the document of an ``ovms-node`` command, which may well be a refusal."""
    done = host.run(f"/usr/local/bin/ovms-node {command} --json")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def assert_healthy(host: Host) -> None:
    """The gate passes and the doctor finds nothing."""
    verified = ask(host, "verify")
    assert verified["ok"], verified["reason"]
    examined = ask(host, "doctor")
    assert not examined["findings"], examined["findings"]
