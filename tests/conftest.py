"""Which lab tests may run side by side: groups of files, by what they share (`make lab-tests`).

A file is a group of its own, unless it works on stores that others work on too.
"""

from __future__ import annotations

import fcntl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What takes longest, in the order in which it begins; the other files follow as they are collected.
GROUPS = {
    "the store of fixture two": (
        *("tests/e2e/test_bad_models.py", "tests/e2e/test_secrets.py", "tests/e2e/test_switch.py"),
        *("tests/e2e/test_switch_faults.py", "tests/e2e/test_switch_hosts.py"),
    ),
    "export": ("tests/e2e/test_export.py",),
    "inventory/lab": (
        *("tests/e2e/test_ask.py", "tests/e2e/test_revocation.py", "tests/e2e/test_site.py"),
        *("tests/e2e/test_site_cache.py", "tests/e2e/test_stage_playbook.py"),
        *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests/testinfra").rglob("test_*.py"))),
    ),
    "engine": ("tests/e2e/test_docker_engine.py",),
    "rollouts": ("tests/e2e/test_rollout.py",),
    "faults": ("tests/e2e/test_fleet_faults.py",),
}
GROUP_OF = {file: group for group, files in GROUPS.items() for file in files}


def group_of(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return GROUP_OF.get(file, file)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the groups into the order in which they begin."""
    for item in items:
        shares = "two" in getattr(item, "fixturenames", ())
        assert not shares or group_of(item.nodeid) == "the store of fixture two", f"{item.nodeid}: see GROUPS"
    ranks = {group: rank for rank, group in enumerate(GROUPS)}
    items.sort(key=lambda item: ranks.get(group_of(item.nodeid), len(ranks)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return what hands out whole groups, where --dist asks for whole files."""
    # Not at the top: the tests of real stores and servers run without pytest-xdist too.
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let no other worker's test run beside one that is marked ``alone``."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    with _turn(item):
        return (yield)


@contextmanager
def _turn(item: pytest.Item) -> Iterator[None]:
    assert item.config.cache
    directory = item.config.cache.mkdir("turns")
    with (directory / "queue").open("w") as queue, (directory / "running").open("w") as running:
        fcntl.flock(queue, fcntl.LOCK_EX)  # who waits to be alone is next
        fcntl.flock(running, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        yield
