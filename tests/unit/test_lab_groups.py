"""Lab tests run side by side: none of them beside another that works on the same stores."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import GROUP_OF, GROUPS

ROOT = Path(__file__).resolve().parents[2]
OF_THE_LAB = re.compile(r'inventory/lab|"inventory" / "lab"|ansible://stores')


def test_every_file_of_a_group_is_there() -> None:
    assert [file for file in GROUP_OF if not (ROOT / file).is_file()] == []


def test_what_works_on_the_labs_own_stores_is_one_group() -> None:
    directories = (ROOT / "tests" / name for name in ("contract", "e2e", "testinfra"))
    files = [file for directory in directories for file in directory.rglob("test_*.py")]
    found = {str(file.relative_to(ROOT)) for file in files if OF_THE_LAB.search(file.read_text())}
    assert found == set(GROUPS["inventory/lab"])
