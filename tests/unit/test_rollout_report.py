from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import astuple
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.node.output import size_text
from ovms_edge.rollout.amounts import duration_text
from ovms_edge.rollout.chart import chart
from ovms_edge.rollout.figures import figures
from ovms_edge.rollout.journal import Journal
from ovms_edge.rollout.real_clock import RealClock
from ovms_edge.rollout.report import render
from ovms_edge.rollout.simulation.run import simulate
from ovms_edge.rollout.simulation.troubles import Troubles, troubled_fleet
from ovms_edge.rollout.status_document import status_document
from ovms_edge.rollout.timeline import epoch, timeline
from ovms_edge.rollout.view import lines, summary
from tests.unit.rollout_documents import NEW, OLD, document, store
from tests.unit.rollout_fleet import plan_of, wave

HOSTILE = "<img src=x onerror=alert(1)>\"'&amp;</script><!--\u2028\ud800"
VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """What a browser makes of the page: elements, text, and the contents of its scripts and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.raw: list[tuple[str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        self.text += " "
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.raw.append((self.open[-1], data))
        else:
            self.text += data

    @property
    def data(self) -> dict[str, Any]:
        (text,) = (raw for tag, raw in self.raw if tag == "script" and raw.startswith("{"))
        found: dict[str, Any] = json.loads(text)
        return found


def rows_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows as the status document has them."""
    texts = data["texts"]
    rows = [dict(zip(data["columns"], values, strict=True)) for values in data["stores"]]
    for row in rows:
        for name in data["text_columns"]:
            row[name] = None if row[name] is None else texts[row[name]]
    return rows


@pytest.fixture(scope="module")
def large() -> dict[str, Any]:
    return document(5000)


@pytest.fixture(scope="module")
def large_page(large: dict[str, Any]) -> str:
    return render(large)


def test_the_data_in_the_page_is_every_stores_row(large: dict[str, Any], large_page: str) -> None:
    data = Page(large_page).data
    rows = rows_of(data)
    assert len(rows) == 5013
    for row, given in zip(rows, large["stores"], strict=True):
        group = row.pop("group")
        assert (group is None) is (given["state"] not in ("failed", "late", "unreachable", "unsuitable"))
        assert row == {**given, "since": epoch(given["since"])}


def test_each_stores_changes_are_in_the_page(large: dict[str, Any], large_page: str) -> None:
    data = Page(large_page).data
    texts, found = data["texts"], []
    for row, changes in zip(rows_of(data), data["changes"], strict=True):
        found += [
            (
                row["store"],
                data["started"] + after,
                texts[old],
                texts[new],
                None if why is None else texts[why],
            )
            for after, old, new, why in changes
        ]
    given = [
        (one["store"], int(epoch(one["at"])), one["from"], one["to"], one["reason"])
        for one in large["history"]
        if one["store"]
    ]
    assert sorted(map(str, found)) == sorted(map(str, given))


def test_a_page_of_5000_stores_is_small_enough_to_be_mailed(large_page: str) -> None:
    assert len(large_page.encode()) < 2_000_000


def test_the_page_needs_nothing_from_anywhere(large_page: str) -> None:
    page = Page(large_page)
    assert not re.search(r"https?:|//[a-z]", large_page)
    loading = {"src", "href", "srcset", "data", "action", "style"} | {"xlink:href", "poster", "background"}
    assert not [entry for entry in page.attributes if entry[1] in loading or entry[1].startswith("on")]
    assert not set(page.tags) & {"link", "img", "iframe", "object", "embed", "base", "use", "image"}
    assert not re.search(r"url\(|@import|\bimport\b|fetch\(|XMLHttp", "".join(raw for _, raw in page.raw[:1]))
    (script,) = (raw for tag, raw in page.raw if tag == "script" and "use strict" in raw)
    assert not re.search(
        r"\bimport\(|fetch\(|XMLHttp|innerHTML|outerHTML|insertAdjacent|eval\(|write\(", script
    )


def test_only_our_script_and_style_may_run(large_page: str) -> None:
    page = Page(large_page)
    (policy,) = (
        value for tag, _, value in page.attributes if tag == "meta" and "default-src 'none'" in value
    )
    for tag, raw in page.raw:
        digest = base64.b64encode(hashlib.sha256(raw.encode()).digest()).decode()
        assert (f"'sha256-{digest}'" in policy) is not raw.startswith("{"), tag
    assert "unsafe" not in policy


def test_what_stores_are_called_and_say_is_text_wherever_it_stands() -> None:
    given = document(10)
    given.update(id=HOSTILE, name=HOSTILE, release=HOSTILE, state="paused", reason=HOSTILE)
    given["controller"]["host"] = HOSTILE
    given["waves"][2].update(name=HOSTILE, waits_for=HOSTILE, approved={"by": HOSTILE})
    for row in given["stores"]:
        row["wave"] = HOSTILE if row["wave"] == "rest" else row["wave"]
        row.update(region=HOSTILE, hardware=HOSTILE, timezone=HOSTILE, before=HOSTILE)
    for name in ("store-01", "store-05", "store-06", "store-08"):
        reason = f"{name} {HOSTILE}"
        store(given, name).update(store=f"{name}{HOSTILE}", reason=reason, remedy=HOSTILE, serving=HOSTILE)
    for event in given["history"]:
        event["wave"] = HOSTILE if event["wave"] == "rest" else event["wave"]
        event["reason"] = HOSTILE
    page, plain = Page(render(given)), Page(render(document(10)))
    assert not set(page.tags) & {"img", "use"}
    assert set(page.tags) <= set(plain.tags) | {"p", "br"}
    assert [tag for tag, _ in page.raw] == [tag for tag, _ in plain.raw]
    assert {name for _, name, _ in page.attributes} <= {name for _, name, _ in plain.attributes} | {
        "data-drift"
    }
    assert page.text.count(HOSTILE.replace("\ud800", "?")) > 20
    assert "</script" not in page.raw[1][1]
    assert "<" not in page.raw[1][1]
    assert rows_of(page.data)[0]["reason"] == f"store-01 {HOSTILE}"


def test_the_page_can_be_written_as_utf8(tmp_path: Path) -> None:
    given = document(10, reason="half \ud800 a character", state="paused")
    (tmp_path / "report.html").write_text(render(given), encoding="utf-8")


@pytest.mark.parametrize(
    "said",
    [
        "of 5,000 stores",
        f"release {NEW}",
        "started 2026-11-28 07:00:00 UTC",
        "failed, budget used 28 of 100",
        "late, budget used 16 of 500",
        "10 stores failed: no space on /var/lib/ovms-edge: * GiB needed, * GiB free",
        "Remedy: free space or lower releases_kept",
        "81 stores unreachable: Failed to connect to the host via ssh: connect to host * port *:",
        "1,050.4 stores/h",
        "rest running 4,497",
        "24 of 224",
        "start by anna: 3 waves",
    ],
)
def test_the_page_says_what_state_and_why_without_its_script(large_page: str, said: str) -> None:
    text = " ".join(Page(large_page).text.split())
    assert said in text


def test_budgets_that_are_exceeded_stand_out() -> None:
    given = document(10)
    assert render(given).count('class="over"') == 1  # of wave rest
    given["budget"]["failed"]["used"] = 9
    assert render(given).count('class="over"') == 2


def test_drift_is_listed() -> None:
    given = document(10)
    assert "Drift" not in render(given)
    store(given, "store-01")["serving"] = OLD
    text = Page(render(given)).text
    assert "Drift: 1 store not serving" in text
    assert f"store-01 serves {OLD}, expected {NEW}" in text


def test_figures_are_of_those_that_did_it(large: dict[str, Any]) -> None:
    fetched, planned, staging, activation = figures(large)
    rows = large["stores"]
    seconds = sorted(row["activate_seconds"] for row in rows if row["activate_seconds"] is not None)
    assert activation.stores == len(seconds)
    assert activation.total == pytest.approx(sum(seconds))
    assert activation.median == pytest.approx((seconds[1326] + seconds[1327]) / 2)
    assert sum(second <= activation.p95 for second in seconds) >= 0.95 * len(seconds)
    assert sum(second < activation.p95 for second in seconds) < 0.95 * len(seconds)
    assert activation.most == seconds[-1] == store(large, activation.most_store)["activate_seconds"]
    assert fetched.stores == staging.stores == 5000 - 81
    assert planned.stores == 81
    assert fetched.total + planned.total == sum(row["fetch_bytes"] or 0 for row in rows)
    text = " ".join(Page(render(large)).text.split())
    assert f"{size_text(fetched.total)} {size_text(fetched.median)}" in text
    assert f"activation 2,654 {duration_text(activation.total)}" in text


def test_one_store_is_its_own_median_and_percentile() -> None:
    given = document(10)
    given["stores"] = [store(given, "store-01")]
    (fetched, staging, activation) = figures(given)
    assert len({activation.total, activation.median, activation.p95, activation.most}) == 1
    assert (fetched.unit, staging.unit) == ("bytes", "seconds")


def test_the_last_sample_is_what_the_document_counts(large: dict[str, Any]) -> None:
    samples = timeline(large, 50).samples
    moved = {state: number for state, number in large["counts"].items() if state != "unsuitable"}
    assert dict(samples[-1].counts) == moved
    assert dict(samples[0].counts) == {"pending": 5000}
    assert all(sum(sample.counts.values()) == 5000 for sample in samples)
    serving = [sample.counts.get("serving", 0) for sample in samples]
    assert serving == sorted(serving)


def test_waves_have_phases_from_the_history(large: dict[str, Any]) -> None:
    waves = timeline(large, 50).waves
    assert list(waves) == ["canary", "first-tenth", "rest"]
    assert [phase.state for phase in waves["canary"]] == ["running", "soaking"]
    assert [phase.state for phase in waves["rest"]] == ["held", "running"]
    assert waves["rest"][0].end == waves["rest"][1].begin
    assert waves["rest"][1].end == epoch(large["updated"])
    soak = waves["canary"][1]
    assert soak.end - soak.begin == 1800


def test_a_clock_that_went_back_takes_no_line_back(large: dict[str, Any]) -> None:
    jumped = json.loads(json.dumps(document(10)))
    for event in jumped["history"][20:]:
        event["at"] = event["at"].replace("2026", "2016")
    jumped["updated"] = "2016-11-28T09:00:00Z"
    shown = timeline(jumped, 20)
    assert shown.begin < shown.end < epoch("2027-01-01T00:00:00Z")
    assert sum(shown.samples[-1].counts.values()) == 10
    for line in (line for panel in chart(jumped).panels for line in panel.lines):
        steps = [float(x) for x in re.findall(r"[MH]([\d.]+)", line.path)]
        assert steps == sorted(steps)


@pytest.mark.parametrize("stores", [10, 5000])
def test_all_of_the_chart_lies_inside_it(stores: int) -> None:
    drawn = chart(document(stores))
    for panel in drawn.panels:
        labels = sorted(line.label_y for line in panel.lines)
        assert all(other - one >= 13 for one, other in pairwise(labels))
        assert panel.top <= labels[0]
        assert all(panel.top <= mark.at <= panel.bottom for mark in panel.marks)
        for line in panel.lines:
            xs = [float(x) for x in re.findall(r"[MH]([\d.]+)", line.path)]
            ys = [float(y) for y in re.findall(r"[V ]([\d.]+)", line.path)]
            assert (xs[0], xs[-1]) == (drawn.left, drawn.right)
            assert all(panel.top <= y <= panel.bottom for y in ys)
    for bar in (bar for each in drawn.waves for bar in each.bars):
        assert drawn.left <= bar.x <= bar.x + bar.width <= drawn.right + 1
    assert 2 <= len(drawn.times) <= 8
    assert drawn.waves[-1].y < drawn.axis < drawn.height


def test_a_rollout_that_has_only_begun_has_a_page_and_a_view() -> None:
    begun = document(10)
    for row in begun["stores"]:
        row.update(state="pending", stage_seconds=None, activate_seconds=None, fetch_bytes=None, serving=None)
        row.update(reason=None, remedy=None, before=None, expected=None, attempts=0)
    for each in begun["waves"]:
        each.update(state="waiting", counts={"pending": each["stores"]}, started=None, ended=None)
    begun.update(history=[], counts={"pending": 11}, updated=begun["started"], elapsed_seconds=0.0)
    begun["rates"] = {"stores_per_hour": None, "seconds_left": None}
    page = Page(render(begun))
    assert len(page.data["stores"]) == 11
    assert "Failures" not in page.text
    assert "Bytes and times" not in page.text
    assert "0 of 10 stores serving" in summary(begun)


def test_what_the_engine_writes_is_what_page_and_view_read(tmp_path: Path) -> None:
    names = [f"s{number}" for number in range(60)]
    waves = (
        wave("canary", names[:5], approval=True, soak_seconds=600.0),
        wave("rest", names[5:], failed_limit=60),
    )
    plan = plan_of(*waves, failed_limit=60, unsuitable={"old": "16 GiB of memory: 21.4 GiB needed"})
    path = tmp_path / "rollouts.sqlite"
    simulate(plan, troubled_fleet(plan, Troubles(offline=0.2, refuses=0.1, no_space=0.1)), path)
    journal = Journal(path)
    given = status_document(journal, None, None, RealClock().utc())
    journal.close()
    rows = rows_of(Page(render(given)).data)
    assert Counter(row["state"] for row in rows) == Counter(given["counts"]) + Counter(unsuitable=1)
    assert timeline(given, 9).samples[-1].counts == given["counts"]
    assert "stores failed" in summary(given)
    assert lines(given, 80, True, 24)


def test_the_pages_parts_are_in_the_package() -> None:
    parts = resources.files("ovms_edge.rollout") / "page"
    for name in ("report.html", "chart.svg", "report.css", "report.js"):
        assert (parts / name).is_file()


def test_figures_have_one_row_each(large: dict[str, Any]) -> None:
    assert [astuple(row)[:2] for row in figures(large)] == [
        ("fetched", "bytes"),
        ("still to fetch, as planned", "bytes"),
        ("staging", "seconds"),
        ("activation", "seconds"),
    ]
