"""One machine for all tests here, in the order in which they stand: each goes on where the last left it."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from lab.fleet import lab
from lab.fleet.console import Console
from lab.fleet.settings import Settings
from lab.vm import life
from tests.vm.virtual_store import ROOT, Boot, Run, VirtualStore

_EVIDENCE = pytest.StashKey[VirtualStore]()


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest) -> Iterator[VirtualStore]:
    """A store with a bare disk, booted; removed in the end, or only switched off if a test failed."""
    settings, console = Settings.from_environment(ROOT), Console()
    lab.extend_path()
    life.remove(settings, console)
    request.config.stash[_EVIDENCE] = VirtualStore(settings)
    try:
        life.start(settings, console)
        yield VirtualStore(settings)
    finally:
        failed = request.session.testsfailed
        (life.stop if failed else life.remove)(settings, console)


@pytest.fixture(scope="session")
def bare_boot(store: VirtualStore) -> Boot:
    """The boot before any role ran."""
    return store.boot()


@pytest.fixture(scope="session")
def site(store: VirtualStore, bare_boot: Boot) -> Run:
    """The first run of site.yml."""
    run = store.playbook("site.yml")
    assert run.status == 0, run.output
    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the console's end and the journal under a test that failed."""
    report = yield
    store = item.config.stash.get(_EVIDENCE, None)
    if report.failed and store is not None:
        report.sections.extend(store.evidence())
    return report
