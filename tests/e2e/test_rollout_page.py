"""The page of a rollout in a browser: what its script makes of searches, orders and hostile names."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from ovms_edge.rollout.report import render
from tests.unit.rollout_documents import document, store

CHROMIUM = shutil.which("chromium")
HOSTILE = "<b onclick=x>\"'&amp;</script>"
pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no chromium here: apt-get install chromium (80 MB to fetch, 350 MB installed)",
)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("page") / "report.html"
    page.write_text(render(document(5000)), encoding="utf-8")
    return page


def opened(file: Path, **asked: Any) -> str:
    """Return the document as it is after the script ran, with ``asked`` in the address."""
    found = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",  # root may not have one; the page is ours
            "--disable-gpu",
            f"--user-data-dir={file.parent / 'profile'}",
            "--dump-dom",
            f"{file.as_uri()}#{urlencode(asked)}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return found.stdout


def shown(dom: str) -> list[list[str]]:
    """Return the cells of the table of stores."""
    table = dom.split('<table id="table">')[1].split("</table>")[0]
    rows = table.split("<tbody>")[1].split("<tr>")[1:]
    return [
        [unescape(re.sub(r"<[^>]*>", "", cell)) for cell in re.findall(r"<t[dh].*?</t[dh]>", row)]
        for row in rows
    ]


def status(dom: str) -> str:
    return re.search(r'id="shown"[^>]*>([^<]*)<', dom)[1]  # type: ignore[index]


def test_all_stores_are_in_pages_of_a_hundred(large: Path) -> None:
    first, last = opened(large), opened(large, page=51)
    assert status(first) == "5,013 stores, 1 to 100 shown"
    assert len(shown(first)) == 100
    assert status(last) == "5,013 stores, 5,001 to 5,013 shown"
    assert shown(last)[-1][0] == "store-5000"
    assert "Page 51 of 51" in last


def test_a_search_takes_all_its_words(large: Path) -> None:
    dom = opened(large, q="GIB free  FAILED", sort="activate", down=1)
    rows = shown(dom)
    assert status(dom) == "10 of 5,013 stores"
    assert {row[2] for row in rows} == {"failed"}
    assert re.search(r'aria-sort="descending"[^>]*><button[^>]*>activation<', dom)
    seconds = [
        sum(float(n) * {"m": 60, "s": 1}[u] for n, u in re.findall(r"([\d.]+) ([ms])", row[9]))
        for row in rows
    ]
    assert seconds == sorted(seconds, reverse=True)


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ({"state": "late"}, 16),
        ({"wave": "canary"}, 3),
        ({"group": 0}, 10),
        ({"q": "store-0042"}, 1),
        ({"q": "%"}, 16),
    ],
)
def test_filters(large: Path, asked: dict[str, Any], number: int) -> None:
    assert status(opened(large, **asked)) == f"{number} of 5,013 stores"


def test_waves_are_ordered_as_they_come_and_stores_by_number(large: Path) -> None:
    rows = shown(opened(large, sort="wave"))
    assert [row[1] for row in rows[:4]] == ["canary", "canary", "canary", "first-tenth"]
    assert [row[0] for row in rows[:4]] == ["store-0001", "store-0002", "store-0003", "store-0004"]


def test_hostile_names_are_text(tmp_path: Path) -> None:
    given = document(10)
    store(given, "store-05").update(
        store=HOSTILE, reason=HOSTILE, region=HOSTILE, timezone=HOSTILE, serving=HOSTILE
    )
    page = tmp_path / "report.html"
    page.write_text(render(given), encoding="utf-8")
    dom = opened(page, drift=1)
    (row,) = shown(dom)
    assert row[0] == row[5] == row[11] == HOSTILE
    assert row[10] == f"{HOSTILE} drift"
    assert "<b onclick" not in dom
