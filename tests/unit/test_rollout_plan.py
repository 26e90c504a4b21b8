from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovms_edge.errors import EdgeError
from ovms_edge.rollout.amounts import Amount, Budget
from ovms_edge.rollout.calendar import Calendar
from ovms_edge.rollout.plan import Plan, read_plan
from ovms_edge.rollout.planning import make_plan
from ovms_edge.rollout.spec import Spec, WaveSpec
from ovms_edge.rollout.stores import Store
from ovms_edge.rollout.survey import Survey, Surveyed, read_survey

RELEASE = "vlm@1.1.0"
NO_SPACE = Surveyed(True, False, "no space on /var: 9.1 GiB needed, 3.2 GiB free", "free space there")
GOOD = Surveyed(True, True, fetch_bytes=100, seconds=5.0, serving="vlm@1.0.0")


def wave(name: str = "all", **changes: Any) -> WaveSpec:
    values = {"calendar": Calendar(), "budget": Budget(Amount(2, True), Amount(1)), "concurrency": 5}
    return WaveSpec(name, **{**values, "place": "rollout.yml:3", **changes})


def spec(*waves: WaveSpec, **changes: Any) -> Spec:
    return Spec(RELEASE, "vlm-1.1", waves or (wave(),), **changes)


def fleet(count: int, **changes: Any) -> list[Store]:
    zones = ("Europe/Berlin", "UTC")
    values = [
        {"region": "north", "timezone": zones[number % 2], "tags": ("b", "a"), **changes}
        for number in range(count)
    ]
    return [Store(f"s{number:03}", **value) for number, value in enumerate(values)]


def survey(**stores: Surveyed) -> Survey:
    return Survey(RELEASE, stores, "2026-11-28T06:00:00Z")


def test_amounts_become_numbers_of_the_stores_that_can_take_the_release() -> None:
    asked = survey(**{f"s{number:03}": NO_SPACE for number in range(50)})
    plan = make_plan(
        spec(
            wave("first", size=Amount(10, True), min_serving=Amount(95, True)),
            wave("rest"),
            budget=Budget(Amount(3, True), Amount(7)),
        ),
        fleet(150),
        {},
        asked,
    )
    assert [len(one.stores) for one in plan.waves] == [10, 90]
    assert (plan.failed_limit, plan.late_limit) == (3, 7)
    assert [(one.failed_limit, one.late_limit) for one in plan.waves] == [(0, 1), (1, 1)]
    assert plan.waves[0].min_serving == 10, "9 of 10 would be less than 95%"


def test_unsuitable_stores_are_in_no_wave_and_keep_their_reason() -> None:
    plan = make_plan(spec(), fleet(3), {}, survey(s000=NO_SPACE, s001=GOOD))
    assert plan.unsuitable == {
        "s000": "no space on /var: 9.1 GiB needed, 3.2 GiB free; free space there",
    }
    assert sorted(plan.waves[0].stores) == ["s001", "s002"]
    assert list(plan.stores) == ["s000", "s001", "s002"]


def test_what_is_not_known_keeps_no_store_from_taking_part() -> None:
    asked = survey(s000=Surveyed(False, reason="no route"), s001=Surveyed(True, None, "busy"))
    assert len(make_plan(spec(), fleet(3), {}, asked).waves[0].stores) == 3


def test_a_store_that_was_not_reached_is_no_canary_while_there_are_others() -> None:
    asked = survey(**{f"s{number:03}": Surveyed(False, reason="no route") for number in range(8)})
    plan = make_plan(spec(wave("canary", size=Amount(3)), wave("rest")), fleet(10), {}, asked)
    assert {"s008", "s009"} < set(plan.waves[0].stores)


def test_the_survey_says_what_is_fetched_and_what_was_served() -> None:
    plan = make_plan(spec(), fleet(3), {}, survey(s002=GOOD, s001=GOOD, other=GOOD))
    assert list(plan.fetch_bytes.items()) == [("s001", 100), ("s002", 100)]
    assert plan.before == {"s001": "vlm@1.0.0", "s002": "vlm@1.0.0"}


@pytest.mark.parametrize(
    ("stores", "asked", "waves", "found"),
    [
        ([], None, [wave()], "no store matches 'stores'"),
        (fleet(1), survey(s000=NO_SPACE), [wave()], "none of 1 stores can take vlm@1.1.0: no space"),
        (fleet(2, timezone="Europe/Berln"), None, [wave()], "store s000: time zone 'Europe/Berln'"),
        (fleet(2), None, [wave(min_serving=Amount(3))], "rollout.yml:3: wave all wants 3 stores to serve"),
    ],
)
def test_what_does_not_fit_the_fleet_is_refused(
    stores: list[Store], asked: Survey | None, waves: list[WaveSpec], found: str
) -> None:
    with pytest.raises(EdgeError) as caught:
        make_plan(spec(*waves), stores, {}, asked)
    assert found in caught.value.reason


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 9), st.randoms(use_true_random=False))
def test_the_same_inputs_in_any_order_make_the_same_bytes(
    count: int, size: int, shuffle: random.Random
) -> None:
    waves = (wave("w", size=Amount(size), repeat=True, at_most={"region": 5}),)
    stores = fleet(count)
    asked = {store.name: GOOD for store in stores[1:]}
    once = make_plan(spec(*waves), stores, {}, Survey(RELEASE, asked)).to_bytes()
    turned = [
        Store(one.name, one.region, one.timezone, one.hardware, one.tags[::-1])
        for one in shuffle.sample(stores, count)
    ]
    again = Survey(RELEASE, dict(shuffle.sample(sorted(asked.items()), len(asked))))
    assert make_plan(spec(*waves), turned, {}, again).to_bytes() == once


def test_an_id_tells_plans_apart() -> None:
    one, other = (make_plan(spec(), fleet(count), {}) for count in (3, 4))
    assert one.id != other.id
    assert one.id.startswith("vlm-1.1-")
    assert len(one.id.rpartition("-")[2]) == 8


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan = make_plan(spec(wave("a", size=Amount(1)), wave("b")), fleet(3), {}, survey(s000=GOOD))
    path.write_bytes(plan.to_bytes())
    again = read_plan(path)
    assert again.to_bytes() == plan.to_bytes()
    assert Plan.from_document(json.loads(plan.to_bytes())).waves == plan.waves
    assert again.stores["s001"] == Store("s001", "north", "UTC", "", ("a", "b"))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda document: {**document, "failed_limit": 99}, "was changed after it was made"),
        (lambda document: {**document, "schema": "ovms-edge.rollout-plan/9"}, "is no plan of this version"),
        (lambda document: {**document, "waves": [{}]}, "is no plan"),
        (lambda document: [], "is no plan of this version"),
    ],
)
def test_a_plan_that_is_not_as_it_was_made_is_refused(tmp_path: Path, change: Any, found: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(change(make_plan(spec(), fleet(2), {}).document)))
    with pytest.raises(EdgeError) as caught:
        read_plan(path)
    assert found in caught.value.reason
    assert str(path) in caught.value.reason


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"schema": "ovms-edge.survey/1", "release": "vlm@1.0.0", "stores": {}}, "is a survey of vlm@1.0.0"),
        ({"schema": "other", "release": RELEASE, "stores": {}}, "is no survey of this version"),
        ({"schema": "ovms-edge.survey/1", "release": RELEASE}, "has no stores"),
        ({"schema": "ovms-edge.survey/1", "release": RELEASE, "stores": {"s": {}}}, "s does not say whether"),
        (
            {"schema": "ovms-edge.survey/1", "release": RELEASE, "stores": {"s": {"reached": 1}}},
            "s has reached 1",
        ),
    ],
)
def test_a_survey_that_does_not_fit_is_refused(tmp_path: Path, document: Any, found: str) -> None:
    path = tmp_path / "survey.json"
    path.write_text(json.dumps(document))
    with pytest.raises(EdgeError) as caught:
        read_survey(path, RELEASE)
    assert found in caught.value.reason


def test_a_survey_is_read(tmp_path: Path) -> None:
    path = tmp_path / "survey.json"
    said = {"reached": True, "suitable": True, "reason": None, "fetch_bytes": 100, "seconds": 5.0}
    document = {"schema": "ovms-edge.survey/1", "release": RELEASE, "at": "2026-11-28T06:00:00Z"}
    stores = {"b": {**said, "serving": "vlm@1.0.0"}, "a": {"reached": False}}
    path.write_text(json.dumps({**document, "stores": stores}))
    found = read_survey(path, RELEASE)
    assert list(found.stores.items()) == [("a", Surveyed(False)), ("b", GOOD)]
    assert found.at == "2026-11-28T06:00:00Z"
