"""Which lab tests may run side by side: groups of them, by what they share (`make lab-tests`).

A file is a group: its stores and servers are its own. Two are larger: what uses the store of fixture ``two``,
and what works on the stores of inventory/lab, whose files say so themselves.
"""

from __future__ import annotations

import fcntl
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

SWITCHED = "the store of fixture two"
# What takes longest begins first; the others follow as they are collected.
FIRST = (SWITCHED, "tests/e2e/test_export.py", "inventory/lab", "tests/e2e/test_fleet_faults.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every test into its group, and the groups into the order in which they begin."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            file = item.nodeid.partition("::")[0]
            item.add_marker(pytest.mark.xdist_group(SWITCHED if "two" in _fixtures(item) else file))
    ranks = {group: rank for rank, group in enumerate(FIRST)}
    items.sort(key=lambda item: ranks.get(_group(item), len(ranks)))


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


def _group(item: pytest.Item) -> str:
    return next(mark.args[0] for mark in item.iter_markers("xdist_group"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let no other group's test run beside one that is marked ``alone``."""
    if not item.config.getoption("loadgroup", default=False):
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
