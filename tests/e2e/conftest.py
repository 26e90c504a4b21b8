from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.two_releases import Two, two_releases


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """One store for all tests that switch models; each leaves it serving one of the two, unharmed."""
    with two_releases("switch-tests", tmp_path_factory.mktemp("two-releases")) as found:
        yield found
