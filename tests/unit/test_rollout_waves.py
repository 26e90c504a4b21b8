from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovms_edge.errors import EdgeError
from ovms_edge.rollout.amounts import Amount, Budget
from ovms_edge.rollout.calendar import Calendar
from ovms_edge.rollout.spec import WaveSpec
from ovms_edge.rollout.stores import Store
from ovms_edge.rollout.waves import assign

RELEASE = "vlm@2"
REGIONS = ("north", "south", "west", "")
HARDWARE = ("mtl-16", "mtl-32")
REST: dict[str, Any] = {"name": "rest"}


def wave(**changes: Any) -> WaveSpec:
    values: dict[str, Any] = {
        "name": "wave",
        "calendar": Calendar(),
        "budget": Budget(Amount(0), Amount(0)),
        "concurrency": 10,
        "place": "rollout.yml:9",
        **changes,
    }
    return WaveSpec(**values)


def fleet(count: int) -> list[Store]:
    return [
        Store(
            f"s{number:03}",
            region=REGIONS[number % len(REGIONS)],
            hardware=HARDWARE[number % len(HARDWARE)],
            tags=("canary",) if number % 5 == 0 else (),
        )
        for number in range(count)
    ]


def sizes(*waves: WaveSpec, count: int = 20) -> dict[str, int]:
    return {one.name: len(one.stores) for one in assign(waves, fleet(count), RELEASE, {})}


def test_a_wave_with_neither_count_nor_percent_takes_all_that_are_left() -> None:
    assert sizes(wave(size=Amount(3)), wave(**REST)) == {"wave": 3, "rest": 17}


@pytest.mark.parametrize(("percent", "stores"), [(1, 1), (5, 1), (6, 2), (50, 10)])
def test_a_percent_is_of_the_rollouts_stores_rounded_up(percent: int, stores: int) -> None:
    assert sizes(wave(size=Amount(percent, percent=True)), wave(**REST))["wave"] == stores


def test_tags_and_patterns_choose_stores_that_have_all_of_them() -> None:
    matching = {"some": {"s000", "s001", "s005"}}
    first, rest = assign(
        [wave(tags=frozenset({"canary"}), stores="some"), wave(**REST)], fleet(20), RELEASE, matching
    )
    assert set(first.stores) == {"s000", "s005"}
    assert len(rest.stores) == 18


def test_a_wave_repeats_until_none_are_left() -> None:
    assert sizes(wave(size=Amount(8), repeat=True)) == {"wave-1": 8, "wave-2": 8, "wave-3": 4}


def test_a_limit_alone_repeats_too() -> None:
    found = assign([wave(at_most={"region": 2}, repeat=True)], fleet(20), RELEASE, {})
    assert [len(one.stores) for one in found] == [8, 8, 4]


def test_canaries_differ_from_release_to_release_and_not_from_call_to_call() -> None:
    waves = [wave(size=Amount(5)), wave(**REST)]
    chosen = {release: assign(waves, fleet(50), release, {})[0].stores for release in ("vlm@2", "vlm@3")}
    assert chosen["vlm@2"] != chosen["vlm@3"]
    assert chosen["vlm@2"] == assign(waves, fleet(50), "vlm@2", {})[0].stores


def test_stores_that_no_wave_takes_are_an_error_that_names_some() -> None:
    with pytest.raises(EdgeError, match=r"17 stores are in no wave: s0.* and 12 more"):
        sizes(wave(size=Amount(3)))


def test_a_wave_that_would_take_none_is_an_error() -> None:
    with pytest.raises(EdgeError, match=r"rollout.yml:9: wave wave takes no store"):
        sizes(wave(tags=frozenset({"nobody"})), wave(**REST))


def test_a_wave_is_left_out_where_those_before_it_took_all() -> None:
    assert sizes(wave(size=Amount(20)), wave(**REST)) == {"wave": 20}


def test_two_waves_may_not_get_one_name() -> None:
    with pytest.raises(EdgeError, match="two waves are named wave-1"):
        sizes(wave(name="wave-1", size=Amount(1)), wave(size=Amount(10), repeat=True))


wave_specs = st.builds(
    wave,
    tags=st.sampled_from([frozenset[str](), frozenset({"canary"})]),
    size=st.one_of(
        st.none(),
        st.integers(1, 8).map(Amount),
        st.integers(1, 60).map(lambda value: Amount(value, percent=True)),
    ),
    at_most=st.dictionaries(st.sampled_from(["region", "hardware"]), st.integers(1, 4)),
    repeat=st.booleans(),
)


def greedy(specs: list[WaveSpec], stores: list[Store]) -> list[list[str]]:
    """The rules said again, the slow way: go through all that are left, take whom no limit forbids."""
    import hashlib

    left = sorted(stores, key=lambda store: hashlib.sha256(f"{RELEASE}\0{store.name}".encode()).digest())
    waves = []
    for spec in specs:
        while True:
            used: Counter[tuple[str, str]] = Counter()
            taken: list[Store] = []
            for store in left:
                groups = [(key, getattr(store, key)) for key in spec.at_most]
                fits = all(used[group] < spec.at_most[group[0]] for group in groups)
                enough = spec.size is not None and len(taken) >= spec.size.up(len(stores))
                if fits and not enough and spec.tags <= set(store.tags):
                    taken.append(store)
                    used.update(groups)
            left = [store for store in left if store not in taken]
            if taken:
                waves.append([store.name for store in taken])
            if not taken or not spec.repeat:
                break
    return waves


@settings(max_examples=200)
@given(st.lists(wave_specs, max_size=3), st.integers(1, 40), st.randoms(use_true_random=False))
def test_every_store_is_in_one_wave_within_its_limits_whatever_the_order(
    specs: list[WaveSpec], count: int, random: Any
) -> None:
    named = [wave(**{**_fields(spec), "name": f"w{number}"}) for number, spec in enumerate(specs)]
    named.append(wave(**REST))
    stores = fleet(count)
    shuffled = random.sample(stores, count)
    try:
        found = assign(named, stores, RELEASE, {})
    except EdgeError:
        with pytest.raises(EdgeError, match="takes no store"):
            assign(named, shuffled, RELEASE, {})
        return
    assert Counter(name for one in found for name in one.stores) == Counter(store.name for store in stores)
    by_name = {store.name: store for store in stores}
    for one in found:
        for key, limit in one.spec.at_most.items():
            assert max(Counter(getattr(by_name[name], key) for name in one.stores).values()) <= limit
        assert one.wanted is None or len(one.stores) <= one.wanted
    assert [list(one.stores) for one in found] == greedy(named, stores)
    assert assign(named, shuffled, RELEASE, {}) == found


def _fields(spec: WaveSpec) -> dict[str, Any]:
    return {key: getattr(spec, key) for key in ("tags", "size", "at_most", "repeat")}


@given(st.integers(0, 1000), st.integers(0, 100))
def test_a_percent_down_and_up_enclose_the_exact_share(total: int, percent: int) -> None:
    amount = Amount(percent, percent=True)
    assert amount.of(total) <= total * percent / 100 <= amount.up(total)
    assert amount.up(total) - amount.of(total) <= 1
