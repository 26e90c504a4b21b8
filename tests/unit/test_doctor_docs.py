"""docs/doctor.md says what the doctor does."""

from __future__ import annotations

import re

import pytest

from ovms_edge.node.doctor.table import CHECKS
from tools.doctor_docs import BEGIN, END, PAGE, current


def test_the_table_of_checks_is_current() -> None:
    page = PAGE.read_text()
    assert current(page) == page, "run `python tools/doctor_docs.py`"


def test_each_check_has_a_row() -> None:
    table = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [check.id for check in CHECKS]


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="put them around"):
        current("# The doctor\n")


def test_each_check_named_in_the_text_exists() -> None:
    text = PAGE.read_text().partition("## From a symptom to a check")[2].partition("\n## ")[0]
    named = re.findall(r"`([a-z]+\.[a-z*-]+)`", text)
    known = [check.id for check in CHECKS]
    groups = [check.id.partition(".")[0] for check in CHECKS]
    assert len(named) > 30
    assert [
        name for name in named if name not in known and not (name[-1] == "*" and name[:-2] in groups)
    ] == []
