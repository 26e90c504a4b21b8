"""What a store shows of itself, collected once a host.

The tests run on the inventory of ansible.cfg, or on any other and by any connection:

    pytest tests/testinfra --ansible-inventory=inventory/mine --hosts='ansible://north?force_ansible=True&sudo=True'
    pytest tests/testinfra --hosts=ssh://root@store-001
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests.testinfra.paths import every_path

Evidence = dict[str, Any]


@pytest.fixture(scope="session")
def collected() -> dict[str, Evidence]:
    """The evidence by host: one collection for the tests of all roles."""
    return {}


@pytest.fixture(scope="module")
def evidence(host: Host, collected: dict[str, Evidence]) -> Evidence:
    name = str(host.backend.get_pytest_id())
    if name not in collected:
        collected[name] = collect(host)
    return collected[name]


def collect(host: Host) -> Evidence:
    program = Path(__file__).with_name("evidence.py").read_text()
    done = host.run("python3 -c %s", f"{program}\nprint('\\n' + json.dumps(collect({every_path()!r})))\n")
    assert done.succeeded, f"{host.backend.hostname}: {done.stderr}\n{done.stdout}"
    found: Evidence = json.loads(done.stdout.strip().splitlines()[-1])
    return found
