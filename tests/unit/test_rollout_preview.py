from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.cli import main
from ovms_edge.node.week import Span
from ovms_edge.rollout import inventory
from ovms_edge.rollout.amounts import Amount, Budget
from ovms_edge.rollout.calendar import Calendar
from ovms_edge.rollout.forecast import forecast
from ovms_edge.rollout.plan import read_plan
from ovms_edge.rollout.planning import make_plan
from ovms_edge.rollout.preview import preview_document, preview_text
from ovms_edge.rollout.spec import Spec, WaveSpec
from ovms_edge.rollout.stores import Store
from ovms_edge.rollout.survey import Survey, Surveyed

RELEASE = "vlm@1.1.0"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)  # a Friday
NIGHT = Calendar((Span(frozenset(range(7)), 22 * 60, 6 * 60),))
MIB = 1 << 20


def wave(name: str, **changes: Any) -> WaveSpec:
    values = {"calendar": Calendar(), "budget": Budget(Amount(0), Amount(1)), "concurrency": 2}
    return WaveSpec(name, **{**values, **changes})


def fleet(*zones: str) -> list[Store]:
    return [Store(f"s{number}", "north" if number else "", zone) for number, zone in enumerate(zones)]


def good(seconds: float | None = 60.0, size: int = 10 * MIB) -> Surveyed:
    return Surveyed(True, True, fetch_bytes=size, seconds=seconds, serving="vlm@1.0.0")


def seen(spec: Spec, stores: list[Store], asked: Survey | None = None) -> dict[str, Any]:
    return preview_document(make_plan(spec, stores, {}, asked), spec, asked, NOW)


def text(spec: Spec, stores: list[Store], asked: Survey | None = None) -> str:
    return preview_text(seen(spec, stores, asked))


def test_waves_wait_for_the_link_for_each_zones_window_and_for_the_soak_before() -> None:
    waves = (wave("first", stores="first", soak_seconds=1800.0), wave("rest", calendar=NIGHT))
    stores = fleet("UTC", "Europe/Berlin", "America/New_York")
    asked = Survey(RELEASE, {store.name: good(7200.0) for store in stores})
    plan = make_plan(Spec(RELEASE, "r", waves), stores, {"first": {"s0"}}, asked)
    first, rest = forecast(plan, asked, NOW).waves
    assert (first.begins, first.ends) == (NOW, NOW.replace(hour=14, minute=30))
    assert (first.fetching, first.closed, first.rounds) == (7200, 0, 1)
    assert rest.begins == NOW.replace(hour=21), "Berlin's night is the first"
    assert rest.ends == datetime(2026, 11, 28, 3, tzinfo=UTC), "New York's night is the last"
    assert rest.fetching == 0, "it staged ahead"


def test_a_wave_that_stages_when_it_begins_waits_for_the_link_each_time() -> None:
    waves = (wave("first", size=Amount(1)), wave("rest"))
    stores = fleet("UTC", "UTC")
    asked = Survey(RELEASE, {store.name: good(600.0) for store in stores})
    plan = make_plan(Spec(RELEASE, "r", waves, staging="wave"), stores, {}, asked)
    assert [one.fetching for one in forecast(plan, asked, NOW).waves] == [600, 600]


def test_nothing_to_fetch_takes_no_time_and_an_unlimited_link_is_not_known() -> None:
    stores = fleet("UTC", "UTC", "UTC")
    asked = Survey(RELEASE, {"s0": good(None, 0), "s1": good(None), "s2": good(5.0)})
    document = seen(Spec(RELEASE, "r", (wave("all"),)), stores, asked)
    assert document["untimed"] == 1
    assert document["fetching_seconds"] == 5.0


def test_the_preview_tells_waves_bytes_times_and_who_cannot() -> None:
    waves = (
        wave("canary", size=Amount(2), soak_seconds=1800.0, concurrency=1),
        wave("rest", approval=True, calendar=NIGHT),
    )
    asked = Survey(
        RELEASE,
        {
            "s0": good(),
            "s1": good(),
            "s2": good(),
            "s3": Surveyed(True, False, "no space on /var", "free space there"),
            "s4": Surveyed(False, reason="Connection timed out"),
            "s5": Surveyed(True, None, "another call changes it"),
        },
        "2026-11-27T11:00:00Z",
    )
    lines = text(Spec(RELEASE, "vlm-1.1", waves), fleet(*["UTC"] * 7), asked).splitlines()
    said = "\n".join(lines)
    assert lines[1] == "release  vlm@1.1.0"
    assert "stores   6 in 2 waves" in lines
    assert "fetch    30.0 MiB; not known for 3 stores, asked 2026-11-27T11:00:00Z" in lines
    assert "time     at least 10 h: to 2026-11-27 22:00 UTC if it begins now" in lines
    assert "not counted: 4 rounds of activations, fetching of 3 stores, 1 approval" in said
    assert "2026-11-27 22:00 + approval" in said
    assert "1 store cannot take it; left alone:\n  s3  no space on /var; free space there" in said
    assert "1 store not reached; to catch up later:\n  s4  Connection timed out" in said
    assert "s5  another call changes it" in said
    table = [line for line in lines if line.startswith(("wave ", "canary ", "rest "))]
    moments = zip(table, ("not before", "2026-", "2026-"), strict=True)
    assert len({line.index(mark) for line, mark in moments}) == 1, "columns are aligned"


def test_without_a_survey_it_says_what_is_not_known() -> None:
    said = text(Spec(RELEASE, "r", (wave("all"),)), fleet("UTC"))
    assert "fetch    not known: the stores were not asked" in said
    assert "fetching of 1 store" in said


def test_a_wave_that_is_smaller_than_wanted_and_one_without_stores_are_told() -> None:
    said = text(Spec(RELEASE, "r", (wave("canary", size=Amount(5)), wave("rest"))), fleet("UTC", "UTC"))
    assert "; 5 were wanted" in said
    assert "rest: no store is left" in said


def test_long_lists_are_cut_and_the_document_has_them_all() -> None:
    stores = fleet(*["UTC"] * 40)
    asked = Survey(RELEASE, {f"s{number}": Surveyed(True, False, "no space") for number in range(30)})
    spec = Spec(RELEASE, "r", (wave("all"),))
    said = text(spec, stores, asked)
    assert "  and 20 more" in said
    assert " and 6 more" in said
    assert len(seen(spec, stores, asked)["unsuitable"]) == 30


@dataclass
class FakeInventory:
    by_pattern: dict[str, list[Store]]

    def stores(self, pattern: str) -> list[Store]:
        return self.by_pattern[pattern]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stores = fleet("UTC", "Europe/Berlin", "UTC")
    fake = FakeInventory({"stores": stores, "north": stores[1:]})
    monkeypatch.setattr(inventory.Inventory, "load", lambda path: fake)
    file = tmp_path / "rollout.yml"
    file.write_text(f"release: {RELEASE}\nwaves:\n  - {{name: north, stores: north}}\n  - {{name: rest}}\n")
    return file


def test_the_command_only_shows_unless_it_is_told_where_to_write(
    command: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollout", "plan", str(command)]) == 0
    assert "3 in 2 waves" in capsys.readouterr().out
    assert [path.name for path in command.parent.iterdir()] == ["rollout.yml"]


def test_the_command_writes_the_plan_the_same_each_time(
    command: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = command.with_name("plan.json")
    written = []
    for _ in range(2):
        assert main(["rollout", "plan", str(command), "--output", str(output)]) == 0
        written.append(output.read_bytes())
    assert written[0] == written[1]
    plan = read_plan(output)
    assert [sorted(one.stores) for one in plan.waves] == [["s1", "s2"], ["s0"]]
    assert f"rollout start {output}" in capsys.readouterr().out


def test_the_command_speaks_json(command: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rollout", "plan", str(command), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in document["waves"]] == ["north", "rest"]
    assert document["plan"] is None


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--output", "/nonexistent/plan.json"], 1, "/nonexistent/plan.json cannot be written"),
        (["--survey", "/nonexistent/survey.json"], 1, "/nonexistent/survey.json cannot be read"),
    ],
)
def test_what_goes_wrong_is_told_in_a_line(
    command: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    assert main(["rollout", "plan", str(command), *words]) == status
    assert said in capsys.readouterr().err
